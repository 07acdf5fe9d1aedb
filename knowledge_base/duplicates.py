"""Documents whose passages say the same become one answer that names the others."""

import re
from dataclasses import dataclass, field
from functools import cached_property

from knowledge_base.documents import Hit
from knowledge_base.ranking import Ranked

LOOKED_AT = 30
"""Documents, from the best one, that are compared."""
MIN_WORDS = 20
"""A shorter passage may be the same in two documents and mean something else in each."""
SAME = 0.9
"""Share of common runs of three words (Jaccard) from which on two passages are the same (Broder 1997)."""
LONGEST, ALIKE = 8, 4
"""Of their longest words two passages that are the same have at least so many in common: others are not compared."""
_WORD = re.compile(r"\w+")


@dataclass
class Answer:
    """A document, and others whose passage is the same; only such as the caller may read."""

    hit: Hit
    score: float
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Passage:
    answer: Answer
    longest: frozenset[str]

    @cached_property
    def words(self) -> list[str]:
        return _WORD.findall(self.answer.hit.text.casefold())

    @cached_property
    def runs(self) -> frozenset[str]:
        return frozenset(map(" ".join, zip(self.words, self.words[1:], self.words[2:], strict=False)))

    @cached_property
    def numbers(self) -> list[str]:
        return [word for word in self.words if not word.isalpha()]

    def says_the_same(self, other: "_Passage") -> bool:
        if len(self.longest & other.longest) < ALIKE:
            return False
        one, two = len(self.runs), len(other.runs)
        # A price or a date makes all the difference.
        if self.numbers != other.numbers or min(one, two) < SAME * max(one, two):
            return False
        common = len(self.runs & other.runs)
        return common >= SAME * (one + two - common)


def collapsed(ranked: Ranked) -> list[Answer]:
    """One answer for documents whose best passages are the same, in the place of the first of them."""
    answers: list[Answer] = []
    known: list[_Passage] = []
    for place, (hit, score) in enumerate(ranked):
        answer = Answer(hit, score)
        passage = _passage(answer) if place < LOOKED_AT else None
        first = next((earlier for earlier in known if passage and passage.says_the_same(earlier)), None)
        if first:
            first.answer.others.append(hit.document_id)
            continue
        answers.append(answer)
        if passage:
            known.append(passage)
    return answers


def _passage(answer: Answer) -> _Passage | None:
    words = answer.hit.text.casefold().split()
    if len(words) < MIN_WORDS:
        return None
    return _Passage(answer, frozenset(sorted(sorted(set(words)), key=len)[-LONGEST:]))
