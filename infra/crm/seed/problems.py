"""What customers write about and what support answers, read from `texts.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of ticket. A ticket takes one of its subjects, one report, one detail, one answer and one closing."""

    key: str
    weight: int
    skus: tuple[str, ...]
    subjects: tuple[str, ...]
    reports: tuple[str, ...]
    details: tuple[str, ...]
    answers: tuple[str, ...]
    closings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Texts:
    """What tickets are written from. `injections` are instruction-shaped texts that nobody may follow."""

    problems: tuple[Problem, ...]
    greetings: tuple[str, ...]
    asks: tuple[str, ...]
    places: tuple[str, ...]
    agents: tuple[str, ...]
    internal_notes: tuple[str, ...]
    injections: tuple[str, ...]


def load_texts() -> Texts:
    """The file, read once by whoever makes the tickets."""
    read = tomllib.loads(Path(__file__).with_name("texts.toml").read_text())
    problems = tuple(Problem(**_tuples(entry)) for entry in read.pop("problems"))
    return Texts(problems=problems, **_tuples(read))


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
