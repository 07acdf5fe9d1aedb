"""Files and folders as documents."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import InvalidInput
from common.security.access import Access
from knowledge_base.documents import NewDocument
from knowledge_base.files import Refused
from knowledge_base.library import AccessInput, metadata_from

HIDDEN = re.compile(r"^[.~]")


@dataclass(frozen=True)
class Source:
    """A file to take in, and the name it goes by below the folder that was asked for."""

    path: Path
    relative: str


class Line(BaseModel):
    """A line of a jsonl file."""

    model_config = ConfigDict(extra="forbid")

    id: str
    title: str = ""
    text: str
    metadata: dict[str, Any] = {}
    access: AccessInput | None = None


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """Every file below the paths, sorted; hidden ones and links inside folders are left out. Raises InvalidInput."""
    found: list[Source] = []
    for path in paths:
        if path.is_dir():
            found += [
                Source(file, str(file.relative_to(path))) for file in sorted(path.rglob("*")) if _wanted(file, path)
            ]
        elif path.is_file():
            found.append(Source(path, path.name))
        else:
            raise InvalidInput(f"There is no file or folder {path}.")
    return found


def _wanted(file: Path, root: Path) -> bool:
    parts = file.relative_to(root).parts
    return not file.is_symlink() and file.is_file() and not any(HIDDEN.match(part) for part in parts)


def document_id_of(relative: str) -> str:
    """A readable id that stays the same as long as the file stays where it is."""
    stem = re.sub(r"[^a-z0-9]+", "-", Path(relative).stem.lower()).strip("-")[:80] or "document"
    return f"{stem}-{hashlib.sha256(relative.encode()).hexdigest()[:8]}"


def read_source(source: Source, tenant: str, access: Access, max_bytes: int) -> Iterator[NewDocument | Refused]:
    """The documents of a file: one, or one a line for jsonl. A line that cannot be used does not stop the others."""
    try:
        data = _read_bounded(source.path, max_bytes)
    except OSError as error:
        yield Refused(f"{source.relative} cannot be read: {error.strerror}")
        return
    except Refused as refused:
        yield refused
        return
    if source.path.suffix.lower() == ".jsonl":
        yield from _lines(source, data, tenant, access)
    else:
        yield NewDocument(
            tenant=tenant,
            document_id=document_id_of(source.relative),
            name=source.path.name,
            data=data,
            access=access,
            metadata={"source": source.relative},
        )


def _read_bounded(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes and path.suffix.lower() != ".jsonl":
        raise Refused(f"{path.name} is larger than {max_bytes / 1_048_576:.0f} MB: split it or raise KB_MAX_FILE_BYTES")
    return data if len(data) <= max_bytes else path.read_bytes()


def _lines(source: Source, data: bytes, tenant: str, access: Access) -> Iterator[NewDocument | Refused]:
    for number, raw in enumerate(data.splitlines(), start=1):
        if not raw.strip():
            continue
        try:
            line = Line.model_validate(json.loads(raw))
            yield NewDocument(
                tenant=tenant,
                document_id=line.id,
                name=f"{line.id}.txt",
                data=line.text.encode(),
                access=line.access.access if line.access else access,
                title=line.title,
                metadata=metadata_from(line.metadata),
            )
        except (ValueError, ValidationError, InvalidInput):
            form = '{"id": ..., "title": ..., "text": ..., "metadata": {}, "access": {}}'
            yield Refused(f"{source.relative} line {number} is not of the form {form}")
