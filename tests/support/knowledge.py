"""A knowledge base on its real embedded backends, served through its real ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from fastmcp.utilities.tests import ASGIServer

from common.security.access import Access, AccessScope
from common.settings import CommonSettings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.documents import NewDocument
from knowledge_base.server import build
from knowledge_base.settings import KnowledgeBaseSettings
from tests.support.serving import Served as Served

URL = "http://127.0.0.1:8001"


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[Served]:
    """The server with its worker; `settings` are those of TRIPTYCH_*."""
    given = {"data_dir": folder, "rate_limit_per_second": 1000, "rate_limit_burst": 1000, **settings}
    built = build(CommonSettings(**given), URL)
    async with run_asgi_lifespan(built.app):
        yield Served(built.runtime, ASGIServer(f"{URL}/mcp", built.app, "http"))


@asynccontextmanager
async def knowledge_base_in(folder: Path, **settings: Any) -> AsyncIterator[KnowledgeBase]:
    """The use cases without server and without a worker of their own; `settings` are those of KB_*."""
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=folder), KnowledgeBaseSettings(**settings))
    async with opened(knowledge_base, work=False):
        yield knowledge_base


def document(
    document_id: str, text: str, tenant: str = "acme", access: Access | None = None, **more: Any
) -> NewDocument:
    """A Markdown document."""
    return NewDocument(tenant, document_id, f"{document_id}.md", text.encode(), access or Access("public"), **more)


async def add_all(knowledge_base: KnowledgeBase, documents: Iterable[NewDocument]) -> None:
    """Accept documents as the operator, and work until all are searchable."""
    for item in documents:
        await knowledge_base.library.add(
            item, AccessScope(item.tenant, "operator", clearance="restricted"), operator=True
        )
    while await knowledge_base.worker.work_once():
        pass


async def finished(client: Any, job_id: str) -> dict[str, Any]:
    """The job once it is finished."""
    async with asyncio.timeout(60):
        while True:
            status: dict[str, Any] = (await client.call_tool("get_job", {"job_id": job_id})).structured_content
            if status["state"] in ("finished", "failed"):
                return status
            await asyncio.sleep(0.02)
