"""The Cranfield collection: abstracts, questions, and which abstract answers which question how well."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.quality import Gains

FOLDER = Path(__file__).parents[1] / "data" / "cranfield"
_FIELD = re.compile(r"^\.([TABW])[ \t]*$", re.MULTILINE)
_ENTRY = re.compile(r"^\.I[ \t]+(\d+)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Abstract:
    """One document."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Collection:
    """Questions are numbered from 1, as the judgements name them."""

    abstracts: Sequence[Abstract]
    questions: Mapping[int, str]
    judgements: Mapping[int, Gains]


def read_collection(folder: Path = FOLDER) -> Collection:
    """All three files."""
    # The `.I` lines of the questions have gaps; the judgements count questions in the order of the file.
    questions = [fields["W"] for _, fields in _entries(folder / "cran.qry")]
    return Collection(
        [Abstract(number, _line(fields["T"]), fields["W"]) for number, fields in _entries(folder / "cran.all.1400")],
        {place: _line(text) for place, text in enumerate(questions, start=1)},
        _judgements(folder / "cranqrel"),
    )


def _entries(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    parts = _ENTRY.split(path.read_text(encoding="latin-1"))
    for number, body in zip(parts[1::2], parts[2::2], strict=True):
        fields = _FIELD.split(body)
        yield number, {name: text.strip() for name, text in zip(fields[1::2], fields[2::2], strict=True)}


def _line(text: str) -> str:
    return " ".join(text.split())


def _judgements(path: Path) -> dict[int, Gains]:
    judgements: dict[int, dict[str, float]] = {}
    for line in path.read_text().splitlines():
        question, document, code = line.split()
        # Other copies write -1 for many of the 1s.
        judgements.setdefault(int(question), {})[document] = 5 - abs(int(code))
    return dict(judgements)
