"""A DevOps server over the simulated cluster, served through its real ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from fastmcp.utilities.tests import ASGIServer

from common.security.principal import Principal
from common.settings import Classification, CommonSettings
from devops.server import build
from tests.support.serving import Served as Served
from tests.support.serving import ask as ask

URL = "http://127.0.0.1:8002"
PRODUCTION = "production"


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[Served]:
    """The server; `settings` are those of TRIPTYCH_*."""
    given = {"data_dir": folder, "rate_limit_per_second": 1000, "rate_limit_burst": 1000, **settings}
    built = build(CommonSettings(**given), URL)
    async with run_asgi_lifespan(built.app):
        yield Served(built.runtime, ASGIServer(f"{URL}/mcp", built.app, "http"))


def person(
    name: str = "alice",
    role: str = "user",
    group: str = "engineering",
    tenant: str = "local",
    clearance: Classification = "internal",
) -> Principal:
    return Principal(name, tenant, frozenset({role}), frozenset({group}), clearance)
