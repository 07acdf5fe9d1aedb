"""New, empty catalogues in each database."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.settings import CommonSettings
from knowledge_base.bootstrap import Stores, build_stores
from knowledge_base.settings import KnowledgeBaseSettings
from tests.services.postgres import new_database

KINDS = ("sqlite", "postgres", "mongodb")


@asynccontextmanager
async def settings_of(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[dict[str, Any]]:
    """Settings KB_* that name a new database of this kind."""
    if kind == "postgres":
        async with new_database(request.getfixturevalue("postgres_url")) as url:
            yield {"catalog": kind, "postgres_url": url}
    elif kind == "mongodb":
        base = request.getfixturevalue("mongodb_url").rstrip("/")
        yield {"catalog": kind, "mongodb_url": f"{base}/test_{secrets.token_hex(6)}"}
    else:
        yield {}


@asynccontextmanager
async def stores_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Catalogue, jobs and sources in a new database of this kind."""
    async with settings_of(kind, request) as settings:
        stores = build_stores(CommonSettings(data_dir=folder), KnowledgeBaseSettings(**settings))
        await stores.catalog.open()
        await stores.sources.open()
        try:
            yield stores
        finally:
            await stores.close()
