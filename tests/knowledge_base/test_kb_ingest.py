"""Folders that are taken in by a call."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.security.access import Access, AccessScope
from common.security.audit import AuditRecord
from knowledge_base import ingest
from tests.support.knowledge import knowledge_base_in

ALICE = AccessScope("acme", "alice", clearance="internal")


async def test_what_a_call_took_in_is_recorded_also_if_its_time_was_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.md").write_text(name)
    async with knowledge_base_in(tmp_path / "data", allowed_paths=[str(folder)]) as kb:
        records: list[AuditRecord] = []
        accept_group, groups, second = kb.ingest.accept_group, list[Any](), asyncio.Event()

        async def audit(record: AuditRecord) -> None:
            records.append(record)

        async def only_one(group: Any, *given: Any) -> Any:
            groups.append(group)
            if len(groups) == 2:
                second.set()
                await asyncio.Event().wait()
            return await accept_group(group, *given)

        monkeypatch.setattr(ingest, "GROUP", 1)
        monkeypatch.setattr(kb.ingest, "_audit", audit)
        monkeypatch.setattr(kb.ingest, "accept_group", only_one)
        call = asyncio.create_task(kb.ingest.start([str(folder)], ALICE, Access("internal")))
        await asyncio.wait_for(second.wait(), 20)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        [record] = records
        progress = await kb.queue.progress(str(record.detail["job_id"]))
        assert progress is not None and (progress.total, record.detail["accepted"]) == (1, 1)
