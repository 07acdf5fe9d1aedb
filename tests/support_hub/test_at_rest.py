"""Canaries: what is known of people is readable in none of the stores, and the hub still answers from them."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from common.databases import create_engine, sqlite_url
from common.databases.mongodb import connect_mongodb
from common.databases.replicas import Replicated
from common.redis_client import connect_redis
from common.settings import CommonSettings
from infra.seed.support import load_support
from support_hub.adapters.sql_orders import SqlOrders
from support_hub.adapters.sql_profiles import SqlProfiles
from support_hub.adapters.sql_store import SqlStore
from tests.support.crm import RunningSuite
from tests.support.hub import Served, ask, environment, person, served, settings_of
from tests.support_hub.adapters.conftest import KEYS

MIREK = "mirek.dvorak@marlowdairies.example"
CANARIES = (b"mirek", "dvořák".encode(), b"dvorak", b"marlowdairies", b"canary", b"maureen")
"""In lower case."""
NEW = {
    "platform": "zendesk",
    "requester": MIREK,
    "subject": "Canary in a mine",
    "text": "It sings.",
    "key": "k-at-rest",
}


def check(store: str, raw: bytes, known: bytes) -> None:
    """`known` is in it, so that the right place is looked at; no canary is."""
    raw = raw.lower()
    assert known.lower() in raw, f"{store}: this is not what was to be looked at"
    assert [canary for canary in CANARIES if canary in raw] == [], f"{store} holds personal data that can be read"


async def use(hub: Served) -> dict[str, Any]:
    """Calls that leave traces in every store."""
    async with hub.client(person("tom")) as client:
        await ask(client, "get_customer_360", email=MIREK)
    async with hub.client(person("maureen")) as client:
        made = await ask(client, "create_ticket", **NEW)
        assert await ask(client, "create_ticket", **NEW) == made
        found = await ask(client, "get_customer_360", email=MIREK)
    assert [(each["who"], each["did"]) for each in found["colleagues"]] == [("tom", "viewed")]
    assert found["orders"] and found["profile"]["email"] == MIREK
    return found


def files(folder: Path) -> bytes:
    """All of it, the write-ahead log included."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


async def test_sqlite(crm: RunningSuite, tmp_path: Path) -> None:
    async with served(tmp_path, settings_of(crm)) as hub:
        found = await use(hub)
    check("SQLite", files(tmp_path / "support-hub"), found["orders"][0]["number"].encode())


async def postgres_rows(url: str) -> AsyncIterator[bytes]:
    engine = create_engine(url)
    async with engine.connect() as connection:
        for table in ("orders", "products", "profiles", "writes"):
            for row in await connection.execute(text(f"SELECT * FROM {table}")):  # noqa: S608 - a constant
                yield b" ".join(bytes(each) if isinstance(each, bytes) else str(each).encode() for each in row)
    await engine.dispose()


async def mongodb_documents(url: str) -> AsyncIterator[bytes]:
    database = connect_mongodb(url)
    for name in await database.list_collection_names():
        async for document in database[name].find():
            yield b" ".join(
                [key.encode() + b" " + (v if isinstance(v, bytes) else str(v).encode()) for key, v in document.items()]
            )
    await database.client.close()


async def redis_values(url: str) -> AsyncIterator[bytes]:
    redis = connect_redis(url)
    async for key in redis.scan_iter("triptych:support:*"):
        is_hash = await redis.type(key) == b"hash"
        value = await redis.hgetall(key) if is_hash else {b"": await redis.get(key)}
        yield b" ".join([key, *value.keys(), *value.values()])
    await redis.aclose()


async def test_postgres_mongodb_and_redis(
    crm: RunningSuite, tmp_path: Path, postgres_database: str, mongodb_database: str, redis_url: str
) -> None:
    settings = {
        **settings_of(crm),
        "SUPPORT_POSTGRES_URL": postgres_database,
        "SUPPORT_MONGODB_URL": mongodb_database,
        "SUPPORT_REDIS_URL": redis_url,
    }
    (tmp_path / "support-hub").mkdir()
    with environment(settings):
        assert await load_support(CommonSettings(data_dir=tmp_path)) == await load_support(
            CommonSettings(data_dir=tmp_path)
        )
    async with served(tmp_path, settings) as hub:
        found = await use(hub)
    assert files(tmp_path / "support-hub") == b""
    check("Postgres", b"\n".join([row async for row in postgres_rows(postgres_database)]), b"SO-2600180")
    check("MongoDB", b"\n".join([each async for each in mongodb_documents(mongodb_database)]), b"email_index")
    check("Redis", b"\n".join([each async for each in redis_values(redis_url)]), b"triptych:support:marks:")
    assert found["complete"]


OLD_TABLES = """
CREATE TABLE orders (number VARCHAR(40) PRIMARY KEY, email VARCHAR(320) NOT NULL, company VARCHAR(200) NOT NULL,
  placed_at DATETIME NOT NULL, status VARCHAR(20) NOT NULL, currency VARCHAR(3) NOT NULL, total VARCHAR(24) NOT NULL,
  lines JSON NOT NULL, dispatched_at DATETIME);
CREATE INDEX ix_orders_email ON orders (email);
CREATE TABLE profiles (email VARCHAR(320) PRIMARY KEY, language VARCHAR(10) NOT NULL, tier VARCHAR(20) NOT NULL,
  preferences JSON NOT NULL);
CREATE TABLE writes (name VARCHAR(64) PRIMARY KEY, digest VARCHAR(64) NOT NULL, began_at DATETIME NOT NULL,
  busy_until DATETIME NOT NULL, result JSON);
INSERT INTO orders VALUES ('SO-1', 'mirek@marlowdairies.example', 'Marlow', '2026-10-01 12:00:00', 'open', 'GBP',
  '39.80', '[{"sku": "TL2", "name": "Sensor", "quantity": 2, "unit_price": "19.90", "delivered": 1}]', NULL);
INSERT INTO profiles VALUES ('mirek@marlowdairies.example', 'en', 'gold', '{"channel": "phone"}');
INSERT INTO writes VALUES ('n', 'd', '2026-10-01 12:00:00', '2026-10-01 12:00:00', '{"subject": "Canary"}');
"""


async def test_tables_from_before_are_sealed(tmp_path: Path) -> None:
    file = tmp_path / "support.db"
    old = sqlite3.connect(file)
    old.executescript(OLD_TABLES)
    old.close()
    assert b"mirek" in file.read_bytes()
    for _ in range(2):
        database = Replicated(create_engine(sqlite_url(file)))
        await SqlStore(database, KEYS).open()
        [order] = await SqlOrders(database, KEYS).of(["mirek@marlowdairies.example"], 9)
        profile = await SqlProfiles(database, KEYS).get(["mirek@marlowdairies.example"])
        await database.close()
        assert (order.company, str(order.total), order.lines[0].quantity) == ("Marlow", "39.80", 2)
        assert profile is not None and (profile.tier, profile.preferences) == ("gold", {"channel": "phone"})
    check("SQLite", files(tmp_path), b"SO-1")


@pytest.mark.parametrize("away", ["SUPPORT_MONGODB_URL", "SUPPORT_REDIS_URL"])
async def test_the_hub_answers_while_a_store_of_its_own_is_away(
    crm: RunningSuite, tmp_path: Path, away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support_hub.bootstrap.OPEN_SECONDS", 0.3)
    urls = {"SUPPORT_MONGODB_URL": "mongodb://127.0.0.1:9/hub", "SUPPORT_REDIS_URL": "redis://127.0.0.1:9/0"}
    settings = {**settings_of(crm), "SUPPORT_SOURCE_SECONDS": "5", away: urls[away]}
    async with served(tmp_path, settings) as hub, hub.client(person()) as client:
        found = await ask(client, "get_customer_360", email=MIREK)
    states = {name: each["state"] for name, each in found["sources"].items()}
    assert states.pop("profiles") in (("timeout", "error") if away == "SUPPORT_MONGODB_URL" else ("ok",))
    assert set(states.values()) == {"ok"} and found["complete"] == (away == "SUPPORT_REDIS_URL")
