"""Documents whose passages say the same become one answer that names the others."""

from collections.abc import Iterable
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
BITS = 256
_BIT = [1 << place for place in range(BITS)]
_DIFFERENT = (1 - SAME) / (1 + SAME)
"""Share of all their runs that only one of two passages may have if they are the same."""


class _Blanks(dict[int, str]):
    """For str.translate: a blank for what is not part of a word. Twice as fast as to search with a pattern."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        found = character if character.isalnum() or character == "_" else " "
        if code < 0x3000:  # of the others there are too many to be kept
            self[code] = found
        return found


_BLANKS = _Blanks()


@dataclass
class Answer:
    """A document, and others whose passage is the same; only such as the caller may read."""

    hit: Hit
    score: float
    others: list[str] = field(default_factory=list)


class _Passage:
    def __init__(self, answer: Answer, words: list[str]) -> None:
        self.answer = answer
        self.words = words
        # One bit for a word, so that two passages differ in at least as many words as they differ in bits.
        bits = 0
        for word in {*words}:
            bits |= _BIT[hash(word) % BITS]
        self.bits = bits
        self.spare = _DIFFERENT * len(words) + 2

    @cached_property
    def runs(self) -> frozenset[tuple[str, str, str]]:
        return frozenset(zip(self.words, self.words[1:], self.words[2:], strict=False))

    @cached_property
    def numbers(self) -> list[str]:
        return [word for word in self.words if not word.isalpha()]

    def first_of(self, others: Iterable["_Passage"]) -> "_Passage | None":
        """The first one that says the same.

        A word that only one of two has begins a run that only it has, but for the last two of each. To count words in
        bits is cheap, and never wrong when it says no.
        """
        for other in others:
            if (self.bits ^ other.bits).bit_count() <= self.spare + other.spare and self._says_the_same(other):
                return other
        return None

    def _says_the_same(self, other: "_Passage") -> bool:
        common, both = len(self.runs & other.runs), len(self.runs) + len(other.runs)
        # A price or a date makes all the difference.
        return common >= SAME * (both - common) and self.numbers == other.numbers


def collapsed(ranked: Ranked) -> list[Answer]:
    """One answer for documents whose best passages are the same, in the place of the first of them."""
    answers: list[Answer] = []
    known: list[_Passage] = []
    for place, (hit, score) in enumerate(ranked):
        answer = Answer(hit, score)
        passage = _passage(answer) if place < LOOKED_AT else None
        first = passage and passage.first_of(known)
        if first:
            first.answer.others.append(hit.document_id)
            continue
        answers.append(answer)
        if passage:
            known.append(passage)
    return answers


def _passage(answer: Answer) -> _Passage | None:
    words = answer.hit.text.casefold().translate(_BLANKS).split()
    return _Passage(answer, words) if len(words) >= MIN_WORDS else None
