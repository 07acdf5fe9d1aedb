"""Writing checkpoints: when, and what happens if one of both places does not take them."""

import json
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from common.security.audit_checkpoints import append_line
from tests.support.audit import Place, intent, until


async def test_a_checkpoint_binds_what_changed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.log("first") as first:
        await first.write(intent())
    async with place.log("second", checkpoint_seconds=0.01) as second:
        await until(lambda: len(place.lines) == 2)
        assert set(json.loads(place.lines[-1])["heads"]) == {first.writer}, "a start binds what others left"
        await second.write(intent())
        await until(lambda: len(place.lines) == 3)
    last = json.loads(place.lines[-1])
    assert set(last["heads"]) == {second.writer}
    assert (last["by"], last["seq"]) == (second.writer, 2)
    assert len(place.lines) == 3, "nothing changed, so the end has nothing to bind"
    assert place.sql("SELECT line FROM audit_checkpoints ORDER BY line") == [(line,) for line in sorted(place.lines)]


async def test_a_file_that_cannot_be_written_gets_the_same_checkpoint_later(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.checkpoints.mkdir()
    async with place.log(checkpoint_seconds=0.01) as log:
        with capture_logs() as logged:
            await log.write(intent("before"))
            await until(lambda: any(entry["event"] == "audit.checkpoint_failed" for entry in logged))
        assert log.healthy
        place.checkpoints.rmdir()
        await until(lambda: len(place.lines) > 0)
    assert (await place.verify()).problems == []
    assert json.loads(place.lines[0])["seq"] == 1


async def test_a_database_that_fails_gets_the_checkpoint_later_and_the_file_only_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.log(checkpoint_seconds=0.01) as log:
        place.sql("ALTER TABLE audit_checkpoints RENAME TO away")
        await log.write(intent())
        await until(lambda: len(place.lines) == 1)
        place.sql("ALTER TABLE away RENAME TO audit_checkpoints")
        await until(lambda: len(place.sql("SELECT 1 FROM audit_checkpoints")) == 1)
    assert len(place.lines) == 1
    assert (await place.verify()).problems == []


def test_a_torn_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "new" / "checkpoints.jsonl"
    append_line(path, "first")
    with path.open("a") as file:
        file.write("torn")
    append_line(path, "second")
    assert path.read_text() == "first\ntorn\nsecond\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoints.jsonl"
    append_line(path, "first")
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
        with pytest.raises(OSError, match="only 3 of 7 bytes"):
            append_line(path, "second")
    assert path.read_text() == "first\n"
    append_line(path, "second")
    assert path.read_text() == "first\nsecond\n"
