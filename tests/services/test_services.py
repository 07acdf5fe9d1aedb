"""The servers are what tests take them for."""

import re
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import obstore
import pytest
from botocore.exceptions import ClientError
from elasticsearch import AsyncElasticsearch
from obstore.exceptions import PermissionDeniedError
from obstore.store import AzureStore
from pymongo import AsyncMongoClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.services import s3
from tests.services.ahead import Ahead, stop


async def test_a_postgres_database_is_new_and_takes_writes(postgres_database: str) -> None:
    engine = create_async_engine(postgres_database)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE things (name text)"))
        await connection.execute(text("INSERT INTO things VALUES ('one')"))
        assert (await connection.execute(text("SELECT name FROM things"))).scalars().all() == ["one"]
    await engine.dispose()


@pytest.mark.skipif(shutil.which("localedef") is None, reason="localedef makes the locale")
async def test_postgres_puts_texts_in_the_order_of_a_locale(postgres_database: str) -> None:
    engine = create_async_engine(postgres_database)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT 'a' < 'B'"))).scalar_one(), "or tests would not notice what does"
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


def test_s3_lets_nobody_in_without_the_key(s3_url: str) -> None:
    there, bucket = s3.client(s3_url), urlsplit(s3_url).path.strip("/")
    there.put_object(Bucket=bucket, Key="services/one", Body=b"1")
    assert there.get_object(Bucket=bucket, Key="services/one")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="SignatureDoesNotMatch|403"):
        s3.client(re.sub(r":[0-9a-f]+@", ":wrong@", s3_url)).get_object(Bucket=bucket, Key="services/one")


async def test_azure_lets_nobody_in_without_the_key(azure_url: str) -> None:
    parts = urlsplit(azure_url)
    given = {"account_name": parts.username, "endpoint": f"http://127.0.0.1:{parts.port}/{parts.username}"}
    options: Any = {"client_options": {"allow_http": True}, **given}
    there = AzureStore(parts.path.strip("/"), account_key=parts.password, **options)
    await obstore.put_async(there, "services/one", b"1")
    assert bytes(await (await obstore.get_async(there, "services/one")).bytes_async()) == b"1"
    wrong = AzureStore(parts.path.strip("/"), account_key="0" * 64, **options)
    with pytest.raises(PermissionDeniedError):
        await obstore.get_async(wrong, "services/one")


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
