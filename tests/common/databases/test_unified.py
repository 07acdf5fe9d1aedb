"""One question to three real databases, of which some fail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from common.databases import create_engine
from common.databases.mongodb import Document, connect_mongodb
from common.databases.unified import Lookup, UnifiedQuery
from common.errors import InvalidInput
from common.redis_client import connect_redis


@pytest.fixture
async def stores(postgres_database: str, mongodb_database: str, redis_url: str) -> AsyncIterator[dict[str, Lookup]]:
    """Each knows ada."""
    engine, database, redis = (
        create_engine(postgres_database),
        connect_mongodb(mongodb_database),
        connect_redis(redis_url),
    )
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE people AS SELECT 'ada' AS name, 3 AS orders"))
    await database["people"].insert_one({"_id": "ada", "language": "en"})
    await redis.set("test:seen:ada", b"now")

    async def orders(id: str) -> Any:
        async with engine.connect() as connection:
            found = await connection.execute(text("SELECT orders FROM people WHERE name = :id"), {"id": id})
            return found.scalar_one_or_none()

    async def profile(id: str) -> Document | None:
        return await database["people"].find_one({"_id": id})

    async def seen(id: str) -> Any:
        return await redis.get(f"test:seen:{id}")

    yield {"postgres": orders, "mongodb": profile, "redis": seen}
    await engine.dispose()
    await database.client.close()
    await redis.aclose()


async def test_each_store_says_what_it_knows(stores: dict[str, Lookup]) -> None:
    query = UnifiedQuery({"person": stores})
    found = await query("person", "ada")
    assert {store: part.value for store, part in found.items()} == {
        "postgres": 3,
        "mongodb": {"_id": "ada", "language": "en"},
        "redis": b"now",
    }
    assert {part.state for part in found.values()} == {"ok"}
    assert {part.state for part in (await query("person", "ben")).values()} == {"missing"}
    with pytest.raises(InvalidInput, match="There is no order"):
        await query("order", "ada")


async def test_a_store_that_is_away_or_hangs_costs_the_others_nothing(
    stores: dict[str, Lookup], postgres_database: str, dead_port: int, silent_port: int
) -> None:
    engine = create_engine(postgres_database)
    away = connect_redis(f"redis://127.0.0.1:{dead_port}")
    silent = Redis.from_url(f"redis://127.0.0.1:{silent_port}")  # which has no limit of its own

    async def asleep(id: str) -> Any:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))

    query = UnifiedQuery(
        {"person": {**stores, "asleep": asleep, "away": away.get, "silent": silent.get}},
        seconds=1.0,
    )
    loop = asyncio.get_running_loop()
    began = loop.time()
    states = {store: part.state for store, part in (await query("person", "ada")).items()}
    assert states == {
        "postgres": "ok",
        "mongodb": "ok",
        "redis": "ok",
        "asleep": "timeout",
        "away": "error",
        "silent": "timeout",
    }
    assert loop.time() - began < 10
    await engine.dispose()
    await away.aclose()
    await silent.aclose()
