"""What a benchmark found, in a form that outlives the run."""

import math
from collections.abc import Sequence
from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from tests.benchmarks.machine import describe_machine


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class Table(_Stored):
    """Rows that were formatted for people."""

    title: str
    columns: list[str]
    rows: list[list[str]]


class Target(_Stored):
    """A promise, and what was measured."""

    what: str
    measured: float
    limit: float
    unit: str = ""
    at_most: bool = True

    @property
    def met(self) -> bool:
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    @property
    def promise(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g}{self._unit}"

    @property
    def found(self) -> str:
        return f"{self.measured:.3g}{self._unit}"

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""


class Bars(_Stored):
    """A plot: for each group one bar of each series."""

    title: str
    axis: str
    groups: list[str]
    series: dict[str, list[float]]


class Result(_Stored):
    """One benchmark's section of the report."""

    tables: list[Table]
    targets: list[Target] = []
    notes: list[str] = []
    plot: Bars | None = None
    measured: str = Field(default_factory=lambda: date.today().isoformat())
    machine: str = Field(default_factory=describe_machine)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
