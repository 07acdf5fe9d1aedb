"""`triptych fork --update`: what the suite changed comes into a fork, and nothing that the fork changed is lost."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.fork.selection import tracked
from infra.fork.update import merge_file, merged
from infra.fork.write import write
from tests.support.forks import ROOT, environment

BASE = "acme_ops/common"
Suite = tuple[Path, Path]
"""A checkout of the suite of its own, and a fork of it."""


def command(suite: Path, *arguments: object, code: int = 0) -> str:
    """A command of that checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "fork", *map(str, arguments)],
        cwd=suite,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def commit(suite: Path) -> str:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-q", "-m", "State")):
        subprocess.run(["git", *words], cwd=suite, check=True, capture_output=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=suite, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text()
    after = change(before)
    assert after != before
    path.write_text(after)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite went on since, and so did the fork."""
    folder = tmp_path_factory.mktemp("update")
    root, fork = folder / "suite", folder / "acme_ops"
    write({path: (ROOT / path).read_bytes() for path in tracked(ROOT) if "benchmarks" not in path}, root)
    commit(root)
    command(root, "devops", fork)
    edit(root / "common/people.py", lambda text: text + "\nfrom common.greeting import GREETING  # noqa: E402, F401\n")
    (root / "common/greeting.py").write_text('"""A new module."""\n\nGREETING = "hello from triptych"\n')
    edit(root / "common/garbage.py", lambda text: text.replace('"""', '"""Theirs. ', 1))
    (root / "common/console/static/icon.svg").unlink()
    edit(root / "common/console/static/live.js", lambda text: text + "// Theirs.\n")
    edit(root / "devops/names.py", lambda text: text + "# Theirs.\n")
    commit(root)
    edit(fork / BASE / "people.py", lambda text: text.replace('"""', '"""Ours. ', 1))
    edit(fork / BASE / "garbage.py", lambda text: text.replace('"""', '"""Ours. ', 1))
    (fork / BASE / "ours.py").write_text('"""Ours alone."""\n')
    (fork / BASE / "console/static/live.js").unlink()
    yield root, fork


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_changes_of_both_sides_meet(suite: Suite) -> None:
    root, fork = suite
    before = contents(fork)
    said = command(root, "--update", fork, "--dry-run", code=1)
    assert contents(fork) == before and "nothing was written" in said
    assert command(root, "--update", fork, code=1).splitlines()[:-1] == said.splitlines()[:-1]
    after = contents(fork)
    people = after[f"{BASE}/people.py"].decode()
    assert '"""Ours. ' in people and "from acme_ops.common.greeting import GREETING" in people
    assert b"hello from acme-ops" in after[f"{BASE}/greeting.py"]
    garbage = after[f"{BASE}/garbage.py"].decode()
    assert "<<<<<<< yours" in garbage and '"""Ours. ' in garbage and '"""Theirs. ' in garbage
    assert f"conflict  {BASE}/garbage.py" in said
    assert f"{BASE}/console/static/icon.svg" not in after and f"{BASE}/console/static/live.js" not in after
    assert "you removed it" in said and after[f"{BASE}/ours.py"] == before[f"{BASE}/ours.py"]
    untouched = {path for path in before if not path.startswith((BASE, "tests/")) and path != "fork.json"}
    assert all(after[path] == before[path] for path in untouched)
    assert json.loads(after["fork.json"])["commit"] != json.loads(before["fork.json"])["commit"]
    # What is known by now comes no second time.
    assert "0 files, 0 with conflicts" in command(root, "--update", fork)
    assert contents(fork) == after


@pytest.mark.slow
def test_what_is_no_fork_is_refused(suite: Suite, tmp_path: Path) -> None:
    root, _ = suite
    assert "is no fork" in command(root, "--update", tmp_path, code=2)
    record = {"vertical": "devops", "name": "acme_ops", "commit": "0" * 40}
    (tmp_path / "fork.json").write_text(json.dumps(record))
    assert "not here" in command(root, "--update", tmp_path, code=2)
    (tmp_path / "fork.json").write_text(json.dumps(record | {"commit": "--output=x"}))
    assert "is no fork" in command(root, "--update", tmp_path, code=2)


@pytest.mark.parametrize(
    ("before", "mine", "after", "kind"),
    [
        (b"a", b"a", b"b", "merged"),
        (b"a", b"b", b"b", None),
        (b"a", b"a", None, "gone"),
        (b"a", b"b", None, "kept"),
        (b"a", None, b"b", "kept"),
        (None, None, b"b", "new"),
        (None, b"a", b"b", "conflict"),
        (b"a", None, None, None),
        (b"\0a", b"\0b", b"\0c", "conflict"),
    ],
)
def test_what_becomes_of_a_file(
    before: bytes | None, mine: bytes | None, after: bytes | None, kind: str | None
) -> None:
    change = merged("file", before, mine, after)
    assert (change.kind if change else None) == kind
    if change and kind == "conflict" and mine:
        assert change.content is not None and mine in change.content


def test_lines_far_apart_merge() -> None:
    lines = [f"{number}\n".encode() for number in range(20)]
    ours, theirs = [b"ours\n", *lines[1:]], [*lines[:-1], b"theirs\n"]
    conflict, content = merge_file(b"".join(lines), b"".join(ours), b"".join(theirs))
    assert not conflict and content == b"".join([b"ours\n", *lines[1:-1], b"theirs\n"])
