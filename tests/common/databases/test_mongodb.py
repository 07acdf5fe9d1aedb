"""MongoDB's client: deadlines, and errors that say what to do."""

import asyncio
import time

import pytest
from pymongo.errors import DuplicateKeyError, WriteError

from common.databases.mongodb import connect_mongodb, mongodb_call, prepare_collection
from common.errors import DeadlineExceeded, SettingsError, Unavailable
from common.resilience.deadline import deadline


async def test_it_writes_and_reads(mongodb_database: str) -> None:
    database = connect_mongodb(mongodb_database)
    with mongodb_call("The store"):
        await database["things"].insert_one({"_id": 1})
        assert await database["things"].find_one({}) == {"_id": 1}
    await database.client.close()


@pytest.mark.parametrize("kind", ["dead_port", "silent_port"])
async def test_the_callers_deadline_counts(kind: str, request: pytest.FixtureRequest) -> None:
    database = connect_mongodb(f"mongodb://127.0.0.1:{request.getfixturevalue(kind)}/things")
    began = time.monotonic()
    with pytest.raises((DeadlineExceeded, Unavailable)):
        async with deadline(0.3):
            with mongodb_call("The store"):
                await database["things"].find_one({})
    assert time.monotonic() - began < 4
    await database.client.close()


async def test_a_server_that_is_away_is_unavailable(dead_port: int) -> None:
    database = connect_mongodb(f"mongodb://127.0.0.1:{dead_port}/things")
    with pytest.raises(Unavailable, match="The store cannot be reached"), mongodb_call("The store", seconds=0.2):
        await database["things"].find_one({})
    await database.client.close()


async def test_the_url_may_say_otherwise(mongodb_database: str) -> None:
    database = connect_mongodb(f"{mongodb_database}?maxpoolsize=7")
    assert database.client.options.pool_options.max_pool_size == 7
    assert database.client.options.pool_options.min_pool_size == 5
    await database.client.close()


def test_a_url_without_database_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="does not name a database"):
        connect_mongodb("mongodb://127.0.0.1:1")


async def test_processes_may_prepare_a_collection_at_once(mongodb_database: str) -> None:
    databases = [connect_mongodb(mongodb_database) for _ in range(8)]
    schema = {"required": ["name"], "properties": {"name": {"bsonType": "string"}}}
    prepare = [
        prepare_collection(each, "things", schema, {"by_name": [("name", 1)]}, ("by_name",)) for each in databases
    ]
    await asyncio.gather(*prepare)
    things = databases[0]["things"]
    await things.insert_one({"name": "kettle"})
    with pytest.raises(DuplicateKeyError):
        await things.insert_one({"name": "kettle"})
    with pytest.raises(WriteError):
        await things.insert_one({})
    for each in databases:
        await each.client.close()
