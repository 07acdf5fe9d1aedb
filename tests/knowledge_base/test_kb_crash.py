"""Killed in the middle of accepting, ingesting, revoking and deleting; a reader of another process looks on."""

from pathlib import Path

import pytest

from tests.support.chaos import run_chaos


@pytest.mark.slow
async def test_kill_9_loses_nothing_shows_nothing_half_and_nothing_revoked(tmp_path: Path) -> None:
    story = await run_chaos(tmp_path, count=24, seed=1)
    assert story.problems == []
    assert story.counts["kills of workers"] and story.counts["kills of acceptors"]
    assert story.counts["revoked"] and story.counts["deleted"] and story.counts["searches"] > 20
