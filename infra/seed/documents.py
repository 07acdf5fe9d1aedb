"""Loads the demo company, and the project's own documentation, into the knowledge base."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from common.security.access import AccessScope
from common.settings import CommonSettings, load_settings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.documents import NewDocument
from knowledge_base.library import AccessInput, metadata_from
from knowledge_base.settings import KnowledgeBaseSettings
from knowledge_base.sources import document_id_of

COMPANY = Path(__file__).parent / "company"
PROJECT = Path(__file__).parents[2]
TENANT = "fernhill"
AT_ONCE = 8


def company_documents() -> Iterator[list[NewDocument]]:
    """The documents of the manifest, each with its earlier versions before it."""
    for raw in (COMPANY / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(raw)
        yield [_company_document(entry, stage) for stage in [*entry.get("versions", []), entry]]


def _company_document(entry: dict[str, Any], stage: dict[str, Any]) -> NewDocument:
    path = COMPANY / stage["path"]
    return NewDocument(
        tenant=entry["tenant"],
        document_id=entry["id"],
        name=path.name,
        data=path.read_bytes(),
        access=AccessInput.model_validate(entry["access"]).access,
        title=entry["title"],
        metadata=metadata_from(entry["metadata"]),
        created_at=datetime.fromisoformat(stage["at"]).timestamp() if "at" in stage else None,
    )


def project_documents() -> Iterator[list[NewDocument]]:
    """README and docs of this project, public to the demo company. An image has none."""
    for path in [*PROJECT.glob("README.md"), *sorted((PROJECT / "docs").rglob("*.md"))]:
        relative = str(path.relative_to(PROJECT))
        document = NewDocument(
            tenant=TENANT,
            document_id=document_id_of(relative),
            name=path.name,
            data=path.read_bytes(),
            access=AccessInput(classification="public").access,
            metadata={"source": relative, "department": "triptych"},
        )
        yield [document]


async def accept_seed(knowledge_base: KnowledgeBase) -> int:
    """Hand in every version that is not there yet; returns how many there were."""
    changed = 0
    for stages in [*company_documents(), *project_documents()]:
        tenant, document_id = stages[0].tenant, stages[0].document_id
        there = await knowledge_base.catalog.latest(tenant, document_id)
        operator = AccessScope(tenant, "operator", clearance="restricted")
        for document in stages[min(there, len(stages) - 1) :]:
            accepted = await knowledge_base.library.add(document, operator, operator=True)
            changed += accepted.batch is not None
    return changed


async def hand_in(settings: CommonSettings) -> int:
    """Accept the seed into backends that a server uses at the same time; returns how many versions were new."""
    knowledge_base = build_knowledge_base(settings, load_settings(KnowledgeBaseSettings))
    try:
        await knowledge_base.catalog.open()
        return await accept_seed(knowledge_base)
    finally:
        await knowledge_base.stores.close()


async def wait_indexed(settings: CommonSettings, within: float) -> float:
    """Seconds until the servers have worked on every job. Raises RuntimeError after `within` seconds."""
    knowledge_base = build_knowledge_base(settings, load_settings(KnowledgeBaseSettings))
    started = time.monotonic()
    try:
        while await knowledge_base.queue.pending():
            if time.monotonic() - started > within:
                raise RuntimeError("the documents were not indexed in time; see the server's log")
            await asyncio.sleep(0.1)
    finally:
        await knowledge_base.stores.close()
    return time.monotonic() - started


async def load_documents(settings: CommonSettings) -> int:
    """Accept and index everything, with a progress bar; returns how many versions were new. It is safe to repeat."""
    knowledge_base = build_knowledge_base(settings, load_settings(KnowledgeBaseSettings))
    async with opened(knowledge_base, work=False):
        changed = await accept_seed(knowledge_base)
        # Each batch costs a round of the index; what a worker beside takes is as good.
        for _ in track(range(0, changed, AT_ONCE), "indexing", console=Console(stderr=True)):
            await knowledge_base.worker.work_once(limit=AT_ONCE)
        await knowledge_base.index.optimize()
    return changed
