"""`triptych fork --update`: merges into a fork what changed in the suite's base since the fork was made."""

import io
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from common.errors import InvalidInput
from infra.fork.names import Names, checked
from infra.fork.project import RECORD
from infra.fork.selection import Manifest
from infra.fork.write import find_ruff, formatted, render, write

Kind = Literal["new", "merged", "conflict", "gone", "kept"]


@dataclass(frozen=True)
class Change:
    """What becomes of one file. `content` None: it is removed, or stays as it is."""

    kind: Kind
    path: str
    content: bytes | None
    why: str = ""


def update_fork(root: Path, fork: Path, dry_run: bool) -> int:
    """Returns the exit code: 1 if there are conflicts, which then stand in the files between marks."""
    from infra.fork.command import head

    record = _record(fork)
    now = head(root)
    if find_ruff() is None:
        raise InvalidInput("ruff puts all sides into one layout, and is not there.", "Run `make setup-dev` first.")
    changes = plan(root, fork, record)
    for change in changes:
        typer.echo(f"{change.kind:>9}  {change.path}{f' ({change.why})' if change.why else ''}")
    conflicts = sum(change.kind == "conflict" for change in changes)
    if not dry_run:
        for change in changes:
            _apply(fork, change)
        if now:
            (fork / RECORD).write_text(json.dumps({**record, "commit": now}, indent=2) + "\n")
    done = "nothing was written" if dry_run else "look at the difference, run the tests, and commit"
    typer.echo(f"{len(changes)} files, {conflicts} with conflicts; {done}.", err=True)
    return 1 if conflicts else 0


def plan(root: Path, fork: Path, record: dict[str, str]) -> list[Change]:
    """What each file of the base becomes, in the order of their paths."""
    with tempfile.TemporaryDirectory(prefix="fork-base-") as folder:
        _checked_out(root, record["commit"], Path(folder))
        before = _base(Path(folder), record)
    after = _base(root, record)
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    mine = {path: (fork / path).read_bytes() for path in paths if (fork / path).is_file()}
    mine = formatted(mine | _layout(fork))
    return [change for path in paths if (change := merged(path, before.get(path), mine.get(path), after.get(path)))]


def merged(path: str, before: bytes | None, mine: bytes | None, after: bytes | None) -> Change | None:
    """What a file becomes by what it was in the suite, is in the fork, and is in the suite; the fork loses nothing."""
    if mine == after:
        return None
    if after is None:
        if mine == before:
            return Change("gone", path, None)
        return Change("kept", path, mine, "the suite removed it, you changed it")
    if mine is None:
        if before is None:
            return Change("new", path, after)
        return Change("kept", path, None, "you removed it, the suite changed it")
    if mine == before:
        return Change("merged", path, after)
    conflict, content = merge_file(before or b"", mine, after)
    return Change("conflict" if conflict else "merged", path, content)


def merge_file(before: bytes, mine: bytes, after: bytes) -> tuple[bool, bytes]:
    """Three-way, by git; with a conflict both sides stand in the result between marks."""
    with tempfile.TemporaryDirectory(prefix="fork-merge-") as folder:
        for name, content in (("yours", mine), ("before", before), ("suite", after)):
            (Path(folder) / name).write_bytes(content)
        command = ["git", "merge-file", "-p", "--diff3", "yours", "before", "suite"]
        done = subprocess.run(command, cwd=folder, capture_output=True)  # noqa: S603
    if done.returncode < 0 or done.returncode > 127:
        # What is no text: both stay, and a person decides.
        return True, mine
    return done.returncode > 0, done.stdout


def _apply(fork: Path, change: Change) -> None:
    if change.kind == "kept":
        return
    if change.content is None:
        (fork / change.path).unlink()
    else:
        write({change.path: change.content}, fork)


def _record(fork: Path) -> dict[str, str]:
    try:
        record: dict[str, str] = json.loads((fork / RECORD).read_text())
        if not record["commit"]:
            raise InvalidInput(f"{fork} was made without git, so what it was made of is unknown.", "Make a new fork.")
        checked(record["name"])
        if not re.fullmatch(r"[0-9a-f]{7,64}", record["commit"]):
            raise ValueError(f"no commit: {record['commit']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{fork} is no fork: {RECORD} cannot be read ({error}).", "Name a fork's folder.") from None
    return record


def _checked_out(root: Path, commit: str, folder: Path) -> None:
    command = ["git", "archive", "--format=tar", f"{commit}^{{commit}}"]
    done = subprocess.run(command, cwd=root, capture_output=True)  # noqa: S603
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise InvalidInput(f"The commit that the fork was made of is not here: {reason}", "Fetch it, and try again.")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        # Python before 3.11.4 has no filters; the archive is git's own.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(folder)  # noqa: S202


def _base(root: Path, record: dict[str, str]) -> dict[str, bytes]:
    """The base and its tests, as a fork of this state of the suite has them."""
    manifest = Manifest.read(root, record["vertical"])
    names = Names(manifest.package, manifest.server, record["name"])
    files = formatted(render(root, manifest, names, record["commit"]))
    return {path: content for path, content in files.items() if path.startswith(tuple(_folders(record["name"])))}


def _folders(name: str) -> Iterator[str]:
    yield from (f"{name}/common/", "tests/common/", "tests/support/", "tests/services/")


def _layout(fork: Path) -> dict[str, bytes]:
    """What tells ruff which packages are the fork's own."""
    names = ("pyproject.toml", "infra/__init__.py", "tests/conftest.py")
    return {name: (fork / name).read_bytes() for name in names if (fork / name).is_file()}
