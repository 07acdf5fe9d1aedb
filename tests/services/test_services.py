"""The servers are what tests take them for."""

from collections.abc import Iterator

import pytest
from elasticsearch import AsyncElasticsearch
from pymongo import AsyncMongoClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.services.ahead import Ahead, stop


async def test_a_postgres_database_is_new_and_takes_writes(postgres_database: str) -> None:
    engine = create_async_engine(postgres_database)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE things (name text)"))
        await connection.execute(text("INSERT INTO things VALUES ('one')"))
        assert (await connection.execute(text("SELECT name FROM things"))).scalars().all() == ["one"]
    await engine.dispose()


async def test_mongodb_has_transactions(mongodb_database: str) -> None:
    async with AsyncMongoClient[dict[str, str]](mongodb_database) as client, client.start_session() as session:
        things = client.get_default_database()["things"]
        await things.insert_one({"name": "kept"})
        async with await session.start_transaction():
            await things.insert_one({"name": "not kept"}, session=session)
            await session.abort_transaction()
        assert await things.distinct("name") == ["kept"]


async def test_elasticsearch_analyses_english(elasticsearch_url: str) -> None:
    async with AsyncElasticsearch(elasticsearch_url) as client:
        assert (await client.info())["version"]["number"].startswith("9.")
        filters = [{"type": "stemmer", "language": name} for name in ("possessive_english", "english")]
        found = await client.indices.analyze(
            tokenizer="standard", filter=[*filters, "asciifolding"], text="turbine's cafés"
        )
        assert [token["token"] for token in found["tokens"]] == ["turbin", "cafe"]


def test_servers_that_nobody_took_are_stopped() -> None:
    log = []

    def start(name: str) -> Iterator[str]:
        if name == "broken":
            raise OSError("no such program")
        yield f"{name}://"
        log.append(f"{name} stopped")

    ahead = Ahead()
    for name in ("taken", "left", "broken", "broken too"):
        ahead.begin(name, lambda name=name: start(name.split()[0]))  # type: ignore[misc]
    url, running = ahead.take("taken", lambda: start("second"))
    assert url == "taken://"
    with pytest.raises(OSError, match="no such program"):
        ahead.take("broken", lambda: start("second"))
    ahead.stop_others()
    assert log == ["left stopped"]
    stop(running)
    assert ahead.take("unknown", lambda: start("unknown"))[0] == "unknown://"
