"""Documents whose passages say the same become one answer that names the others."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from knowledge_base.documents import Hit
from knowledge_base.ranking import Ranked

LOOKED_AT = 30
"""Documents, from the best one, that are compared; each costs 0.1 ms."""
MIN_WORDS = 20
"""A shorter passage may be the same in two documents and mean something else in each."""
SAME = 0.9
"""Share of common runs of three words (Jaccard) from which on two passages are the same (Broder 1997)."""
_WORD = re.compile(r"\w+")
_SKETCH = 3


@dataclass
class Answer:
    """A document, and others whose passage is the same; only such as the caller may read."""

    hit: Hit
    score: float
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Passage:
    answer: Answer
    runs: frozenset[str]
    numbers: Sequence[str]

    @property
    def size(self) -> int:
        return len(self.runs)

    def says_the_same(self, other: "_Passage") -> bool:
        # A price or a date makes all the difference.
        if self.numbers != other.numbers or min(self.size, other.size) < SAME * max(self.size, other.size):
            return False
        common = len(self.runs & other.runs)
        return common >= SAME * (self.size + other.size - common)


def collapsed(ranked: Ranked) -> list[Answer]:
    """One answer for documents whose best passages are the same, in the place of the first of them."""
    answers: list[Answer] = []
    known: dict[str, list[_Passage]] = {}
    for place, (hit, score) in enumerate(ranked):
        answer = Answer(hit, score)
        passage = _passage(answer) if place < LOOKED_AT else None
        first = _first(passage, known) if passage else None
        if first:
            first.answer.others.append(hit.document_id)
        else:
            answers.append(answer)
    return answers


def _passage(answer: Answer) -> _Passage | None:
    words = _WORD.findall(answer.hit.text.casefold())
    if len(words) < MIN_WORDS:
        return None
    runs = frozenset(map(" ".join, zip(words, words[1:], words[2:], strict=False)))
    return _Passage(answer, runs, [word for word in words if not word.isalpha()])


def _first(passage: _Passage, known: dict[str, list[_Passage]]) -> _Passage | None:
    """The earlier passage that says the same; if there is none, this one is remembered.

    Only passages that share one of their first or last runs in the alphabet are compared.
    """
    runs = sorted(passage.runs)
    sketch = {*runs[:_SKETCH], *runs[-_SKETCH:]}
    candidates = {id(earlier): earlier for run in sorted(sketch) for earlier in known.get(run, ())}
    for earlier in candidates.values():
        if passage.says_the_same(earlier):
            return earlier
    for run in sketch:
        known.setdefault(run, []).append(passage)
    return None
