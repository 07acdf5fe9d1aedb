"""Files and folders as documents."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import InvalidInput
from common.files import FileRules, FileState, Folder, Found, NotTaken, NotThere, Refused, shown
from common.security.access import Access
from knowledge_base.documents import FOLDER, NewDocument
from knowledge_base.files import check_kind, suffix_of
from knowledge_base.library import AccessInput, metadata_from

Place = tuple[Path, str]
"""An allowed folder, and what is meant below it; empty: all of it."""
JSONL = "jsonl"
MAX_JSONL_BYTES = 1024 * 1024 * 1024
_HERE: Mapping[Path, str] = {}
_FORM = '{"id": ..., "title": ..., "text": ..., "metadata": {}, "access": {}}'


@dataclass(frozen=True)
class Source:
    """A file of an open folder, and the name it goes by: its path below what was asked for."""

    folder: Folder = field(repr=False)
    path: str
    name: str
    state: FileState
    place: str
    """Which folder that was: its name, and its whole path as a hash."""


class Line(BaseModel):
    """A line of a jsonl file."""

    model_config = ConfigDict(extra="forbid")

    id: str
    title: str = Field("", max_length=300)
    text: str
    metadata: dict[str, Any] = {}
    access: AccessInput | None = None


def place_of(path: Path) -> Place:
    """Where a path is that the operator named; links in it are followed later. Raises InvalidInput."""
    real = path.resolve()
    if real.is_dir():
        return Path(os.path.abspath(path)), ""
    if real.exists():
        return real.parent, real.name
    raise InvalidInput(f"There is no file or folder {path}.")


def find_sources(
    places: Sequence[Place], rules: FileRules, stack: ExitStack, origins: Mapping[Path, str] = _HERE
) -> list[Source | NotTaken]:
    """Every file of the places, by name; their folders stay open until the stack is closed.

    `origins` are the addresses of folders that are copies.

    Raises NotThere for a place that is not there, InvalidInput.
    """
    found: list[Source | NotTaken] = []
    for root, below in places:
        folder = stack.enter_context(Folder.opened(root, rules))
        # As it was named: what a link leads to may be another folder after each release.
        origin = origins.get(root) or str(Path(os.path.abspath(root)) / below)
        for item in _below(folder, below):
            if isinstance(item, NotTaken):
                found.append(item)
                continue
            place = document_id_of(origin if item.relative != below else str(Path(origin).parent))
            found.append(Source(folder, item.relative, _name(item, below), item.state, place))
    return found


def _below(folder: Folder, below: str) -> Iterator[Found | NotTaken]:
    try:
        if below and (file := folder.look(below)):
            yield file
        else:
            yield from folder.walk(below)
    except NotThere:
        raise
    except Refused as refused:
        yield NotTaken(below, refused.message)


def _name(item: Found, below: str) -> str:
    return item.relative.rpartition("/")[2] if item.relative == below else item.relative.removeprefix(f"{below}/")


def document_id_of(relative: str) -> str:
    """A readable id that stays the same as long as the file stays where it is."""
    stem = re.sub(r"[^a-z0-9]+", "-", Path(relative).stem.lower()).strip("-")[:80] or "document"
    return f"{stem}-{hashlib.sha256(relative.encode()).hexdigest()[:8]}"


def read_source(
    source: Source, tenant: str, access: Access, is_default: bool = False
) -> Iterator[NewDocument | Refused]:
    """The documents of a file: one, or one a line for jsonl. A line that cannot be used does not stop the others.

    `access` is for those that name none; `is_default` as NewDocument has it.

    It reads the disk, so it belongs off the event loop. Raises Refused if the file cannot be read.
    """
    name = source.path.rpartition("/")[2]
    template = NewDocument(tenant, document_id_of(source.name), name, b"", access, access_is_default=is_default)
    if suffix_of(source.path) == JSONL:
        with source.folder.open(source.path) as (file, state):
            yield from _lines(source, file, template)
            source.folder.check_unchanged(source.path, file, state)
        return
    check_kind(source.name)
    data, _ = source.folder.read(source.path)
    yield replace(template, data=data, metadata={"source": source.name, FOLDER: source.place}, keeps_folder=True)


def _lines(source: Source, file: BinaryIO, template: NewDocument) -> Iterator[NewDocument | Refused]:
    limit, number, size = source.folder.rules.max_bytes, 0, 0
    while raw := file.readline(limit + 1):
        number += 1
        size += len(raw)
        if size > MAX_JSONL_BYTES:
            raise Refused(f"{shown(source.name)} is larger than {MAX_JSONL_BYTES // 1_048_576} MB: split it")
        if len(raw) > limit:
            yield Refused(f"{shown(source.name)} line {number} is larger than {limit / 1_048_576:.3g} MB")
            size += _skip_line(file, limit)
        elif raw.strip():
            yield _document(source, raw, number, template)


def _skip_line(file: BinaryIO, block: int) -> int:
    skipped = 0
    while raw := file.readline(block):
        skipped += len(raw)
        if raw.endswith(b"\n") or skipped > MAX_JSONL_BYTES:
            break
    return skipped


def _document(source: Source, raw: bytes, number: int, template: NewDocument) -> NewDocument | Refused:
    try:
        line = Line.model_validate(json.loads(raw, parse_constant=_no_number))
        return replace(
            template,
            document_id=line.id,
            name=f"{line.id}.txt",
            data=line.text.encode(),
            access=line.access.access if line.access else template.access,
            access_is_default=template.access_is_default and line.access is None,
            title=line.title,
            metadata=metadata_from(line.metadata),
        )
    except (ValueError, ValidationError, InvalidInput, RecursionError):
        return Refused(f"{shown(source.name)} line {number} is not of the form {_FORM}")


def _no_number(name: str) -> None:
    raise ValueError(name)
