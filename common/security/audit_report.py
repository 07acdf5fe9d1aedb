"""What a verification found."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Part: TypeAlias = Literal["record", "checkpoint"]


@dataclass(frozen=True, slots=True)
class Problem:
    """The first thing that is wrong with one chain, of records or of checkpoints."""

    part: Part
    writer: str
    seq: int
    what: str


@dataclass
class VerifyReport:
    """What was looked at, and what is wrong with it."""

    records: int = 0
    writers: int = 0
    checkpoints: int = 0
    unfinished: int = 0
    """Intents without an outcome: calls that run at this moment, or whose process was killed. No damage."""
    _first: dict[tuple[Part, str], Problem] = field(default_factory=dict, repr=False)

    @property
    def problems(self) -> list[Problem]:
        return sorted(self._first.values(), key=lambda problem: (problem.part, problem.writer))

    @property
    def ok(self) -> bool:
        return not self._first

    @property
    def empty(self) -> bool:
        """Whether there is no log at all."""
        return self.ok and not self.records and not self.checkpoints

    def add(self, part: Part, writer: str, seq: int, what: str) -> None:
        """Keep it unless something earlier in the same chain is known to be wrong."""
        known = self._first.get((part, writer))
        if known is None or seq < known.seq:
            self._first[part, writer] = Problem(part, writer, seq, what)
