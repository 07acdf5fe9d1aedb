"""A support hub over the simulated platforms, served through its real ASGI application."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from fastmcp.utilities.tests import ASGIServer

from common.security.principal import Principal
from common.settings import Classification, CommonSettings
from infra.seed.support import load_support
from support_hub.server import build
from tests.support.crm import RunningSuite
from tests.support.serving import Served as Served
from tests.support.serving import ask as ask

URL = "http://127.0.0.1:8003"


def settings_of(crm: RunningSuite, *platforms: str) -> dict[str, str]:
    """SUPPORT_* for these platforms; default: all."""
    from infra.demo.crm import support_settings

    announced = {**crm.urls, "credentials": crm.suite.credentials}
    chosen = platforms or tuple(crm.urls)
    return {k: v for k, v in support_settings(announced).items() if k.split("_")[1].lower() in chosen}


@cache
def seeded() -> Path:
    """A data folder with the demo company's orders, imported once, and the key that opens them."""
    folder = Path(tempfile.mkdtemp(prefix="support-hub-"))
    with environment({}):
        asyncio.run(load_support(CommonSettings(data_dir=folder)))
    return folder


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """These settings, and no other SUPPORT_*."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SUPPORT_")]:
            patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


@asynccontextmanager
async def served(folder: Path, settings: Mapping[str, str], **common: Any) -> AsyncIterator[Served]:
    """The server with the demo company's orders; `settings` are SUPPORT_*, `common` TRIPTYCH_*."""
    given = {"data_dir": folder, "rate_limit_per_second": 1000, "rate_limit_burst": 1000, **common}
    if not (folder / "support-hub").exists():
        await asyncio.to_thread(lambda: shutil.copytree(seeded(), folder, dirs_exist_ok=True))
    with environment(settings):
        built = build(CommonSettings(**given), URL)
    async with run_asgi_lifespan(built.app):
        yield Served(built.runtime, ASGIServer(f"{URL}/mcp", built.app, "http"))


def person(
    name: str = "maureen",
    role: str = "agent",
    group: str = "support",
    tenant: str = "local",
    clearance: Classification = "internal",
) -> Principal:
    return Principal(name, tenant, frozenset({role}), frozenset({group}), clearance)


async def fault(crm: RunningSuite, platform: str, **rule: Any) -> None:
    """Switch one fault on."""
    await asyncio.to_thread(crm.control, platform, "faults", [rule])
