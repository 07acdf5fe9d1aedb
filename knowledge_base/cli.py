"""Commands of the knowledge base, and what it registers with the suite."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import typer

from common.garbage import settle
from common.security.access import AccessScope
from common.settings import CommonSettings, load_settings
from common.vertical import Check, Served, Vertical
from knowledge_base.ingest_command import ingest
from knowledge_base.migrate_command import migrate
from knowledge_base.reindex_command import reindex
from knowledge_base.reseal_command import reseal
from knowledge_base.settings import KnowledgeBaseSettings

if TYPE_CHECKING:
    from common.evals import Evals
    from common.jobs import JobQueue
    from common.tour import Narrator, Stage


def build(common: CommonSettings, base_url: str, stdio: bool = False) -> Served:
    """The server; imported here, since commands do not need it."""
    from knowledge_base.server import build as build_server

    return build_server(common, base_url, stdio)


async def work(common: CommonSettings) -> None:
    """Work on ingest jobs until cancelled."""
    from knowledge_base.bootstrap import build_knowledge_base, opened

    async with opened(build_knowledge_base(common, load_settings(KnowledgeBaseSettings)), work=True):
        settle()
        typer.echo("knowledge-base worker: ready", err=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def queue(common: CommonSettings) -> "AsyncIterator[JobQueue]":
    """The ingest jobs."""
    from knowledge_base.bootstrap import build_knowledge_base, opened

    async with opened(build_knowledge_base(common, load_settings(KnowledgeBaseSettings)), work=False) as found:
        yield found.queue


async def tour(narrator: "Narrator", stage: "Stage") -> None:
    """This vertical's part of the demo."""
    from knowledge_base.tour import tell

    await tell(narrator, stage)


def evals() -> "Evals":
    """The questions that `triptych evals` asks."""
    from knowledge_base.evals.scoring import evals

    return evals()


async def check_index(settings: CommonSettings) -> str:
    """Opens the search index alone."""
    from knowledge_base.bootstrap import build_knowledge_base

    given = load_settings(KnowledgeBaseSettings)
    index = build_knowledge_base(settings, given).index
    try:
        return f"{given.index}: {await index.count():,} chunks"
    finally:
        await index.close()


async def check_catalog(settings: CommonSettings) -> str:
    """Opens the catalogue alone."""
    from knowledge_base.bootstrap import build_stores

    given = load_settings(KnowledgeBaseSettings)
    stores = build_stores(settings, given)
    try:
        await stores.catalog.open()
        depth = await stores.queue.depth()
        return f"{given.catalog}: {depth.waiting:,} jobs waiting, {depth.dead:,} given up"
    finally:
        await stores.close()


async def check_objects(settings: CommonSettings) -> str:
    """Writes, reads and erases an object."""
    from knowledge_base.bootstrap import build_objects

    objects = build_objects(settings, load_settings(KnowledgeBaseSettings))
    key = await objects.put(b"doctor", "", "doctor")
    await objects.get(key)
    await objects.erase("", "doctor")
    return f"{objects}: can be written, read and erased"


async def check_search(settings: CommonSettings) -> str:
    """Opens every backend and runs a query through it."""
    from knowledge_base.bootstrap import build_knowledge_base, opened

    knowledge_base = build_knowledge_base(settings, load_settings(KnowledgeBaseSettings))
    async with opened(knowledge_base, work=False):
        scope = AccessScope(tenant="", subject="doctor")
        await knowledge_base.search.search("doctor", scope, limit=1)
        return f"catalogue, index and embedder answer; {await knowledge_base.queue.pending()} jobs waiting"


vertical = Vertical(
    name="knowledge-base",
    prefix="kb",
    title="Knowledge base",
    port=8001,
    settings=KnowledgeBaseSettings,
    build=build,
    tour=tour,
    work=work,
    queue=queue,
    commands=(ingest, migrate, reindex, reseal),
    checks=(
        Check("catalogue", check_catalog),
        Check("objects", check_objects),
        Check("index", check_index),
        Check("search", check_search),
    ),
    evals=evals,
)
