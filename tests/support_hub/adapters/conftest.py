"""The hub's own databases, each over every real system that can hold it."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.databases import create_engine, sqlite_url
from common.databases.mongodb import connect_mongodb
from common.databases.replicas import ReplicaLimits, Replicated
from common.security.encryption import Keyring
from common.security.signing import SigningKey
from support_hub.adapters.mongo_profiles import MongoProfiles
from support_hub.adapters.sql_profiles import SqlProfiles
from support_hub.adapters.sql_store import SqlStore
from support_hub.ports import Profiles
from tests.services.postgres import new_database

KEYS = Keyring(SigningKey(b"k" * 32))
PATIENT = ReplicaLimits(check_within=5.0)


@contextlib.asynccontextmanager
async def opened(database: Replicated) -> AsyncIterator[Replicated]:
    """With the hub's tables."""
    store = SqlStore(database, KEYS)
    await store.open()
    try:
        yield database
    finally:
        await store.close()


@pytest.fixture(params=["sqlite", "postgres", "postgres with a replica"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Replicated]:
    """An empty one of each kind."""
    if request.param == "sqlite":
        async with opened(Replicated(create_engine(sqlite_url(tmp_path / "support.db")))) as found:
            yield found
        return
    urls = [request.getfixturevalue("postgres_url")]
    if request.param != "postgres":
        urls = list(request.getfixturevalue("postgres_pair"))
    async with new_database(urls[0]) as primary:
        name = primary.rpartition("/")[2]
        others = [f"{url.rpartition('/')[0]}/{name}" for url in urls[1:]]
        replicated = Replicated(create_engine(primary), [create_engine(url) for url in others], PATIENT)
        async with opened(replicated) as found:
            yield found


@pytest.fixture(params=["sqlite", "postgres", "mongodb"])
async def profiles(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Profiles]:
    """An empty store of each kind."""
    if request.param == "mongodb":
        found: Profiles = MongoProfiles(connect_mongodb(request.getfixturevalue("mongodb_database")), KEYS)
        await found.open()
        await found.open()  # it is made once
        yield found
        await found.close()
        return
    async with contextlib.AsyncExitStack() as stack:
        url = sqlite_url(tmp_path / "support.db")
        if request.param == "postgres":
            url = await stack.enter_async_context(new_database(request.getfixturevalue("postgres_url")))
        database = await stack.enter_async_context(opened(Replicated(create_engine(url))))
        yield SqlProfiles(database, KEYS)
