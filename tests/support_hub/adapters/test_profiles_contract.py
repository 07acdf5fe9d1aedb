"""ports.Profiles over SQLite, Postgres and MongoDB; ports.Marks in the process and in Redis."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import WriteError

from common.databases.mongodb import connect_mongodb
from common.redis_client import connect_redis
from common.security.encryption import Keyring
from common.security.signing import SigningKey
from support_hub.adapters.marks import LocalMarks, RedisMarks
from support_hub.adapters.mongo_profiles import MongoProfiles
from support_hub.adapters.sql_profiles import SqlProfiles
from support_hub.ports import Mark, Marks, Profiles
from support_hub.records import Profile
from tests.support_hub.adapters.conftest import KEYS

ADA = Profile("ada@acme.example", "en", "gold", {"channel": "phone", "note": "Grüße"})
BEN = Profile("ben@acme.example", "de", "silver")


async def test_the_profile_of_the_first_address_that_has_one(profiles: Profiles) -> None:
    assert await profiles.get(["ada@acme.example"]) is None
    await profiles.put([ADA, BEN])
    assert await profiles.get(["nobody@acme.example", "ben@acme.example", "ada@acme.example"]) == BEN
    assert await profiles.get(["ADA@acme.example"]) == ADA
    assert await profiles.get([]) is None
    await profiles.ping()


async def test_an_address_has_one_profile(profiles: Profiles) -> None:
    await profiles.put([ADA, BEN])
    for tier in ("silver", "standard"):
        await profiles.put([Profile("ada@acme.example", "en", tier)])
    found = await profiles.get(["ada@acme.example"])
    assert found is not None and found.tier == "standard"
    assert await profiles.get(["ben@acme.example"]) == BEN
    await profiles.put([])


async def test_many(profiles: Profiles) -> None:
    await profiles.put(Profile(f"person{number}@acme.example", tier=str(number)) for number in range(1100))
    found = await profiles.get(["person1099@acme.example"])
    assert found is not None and found.tier == "1099"


async def test_profiles_of_an_older_key_are_found_and_replaced(profiles: Profiles) -> None:
    await profiles.put([ADA])
    newer = Keyring(SigningKey(b"n" * 32), [SigningKey(b"k" * 32)])
    later = with_keys(profiles, newer)
    assert await later.get(["ada@acme.example"]) == ADA
    await later.put([Profile("ada@acme.example", "fr")])
    assert await later.get(["ada@acme.example"]) == Profile("ada@acme.example", "fr")
    # Nothing of the older key is left.
    assert await profiles.get(["ada@acme.example"]) is None


def with_keys(profiles: Profiles, keys: Keyring) -> Profiles:
    """The same store."""
    if isinstance(profiles, SqlProfiles):
        return SqlProfiles(profiles._database, keys)
    assert isinstance(profiles, MongoProfiles)
    return MongoProfiles(profiles._database, keys)


@pytest.mark.parametrize(
    "wrong",
    [
        {"email_index": "0" * 64, "sealed": b"x", "changed_at": datetime(2026, 1, 1), "email": "ada@acme.example"},
        {"email_index": "ada@acme.example", "sealed": b"x", "changed_at": datetime(2026, 1, 1)},
        {"email_index": "0" * 64, "sealed": "readable", "changed_at": datetime(2026, 1, 1)},
        {"email_index": "0" * 64, "sealed": b"x"},
    ],
)
async def test_mongodb_refuses_what_is_not_sealed(mongodb_database: str, wrong: dict[str, Any]) -> None:
    database = connect_mongodb(mongodb_database)
    await MongoProfiles(database, KEYS).open()
    with pytest.raises(WriteError):
        await database["profiles"].insert_one(wrong)
    assert [index["unique"] for index in (await database["profiles"].index_information()).values() if len(index) > 2]
    await database.client.close()


@pytest.fixture(params=["process", "redis"])
async def marks(request: pytest.FixtureRequest) -> Any:
    if request.param == "process":
        yield LocalMarks()
        return
    redis = connect_redis(request.getfixturevalue("redis_url"))
    prefix = f"test:marks:{id(request)}:"
    yield RedisMarks(redis, prefix, KEYS)
    for key in [key async for key in redis.scan_iter(f"{prefix}*")]:
        assert 0 < await redis.ttl(key) <= 86_400
        assert b"acme" not in key and b"ada" not in str(await redis.hgetall(key)).encode()
        await redis.delete(key)
    await redis.aclose()


async def test_the_last_deed_of_each_colleague(marks: Marks) -> None:
    at = datetime(2026, 10, 1, 12, tzinfo=UTC)
    later = at + timedelta(minutes=5)
    for mark in (Mark("maureen", "viewed", at), Mark("maureen", "viewed", later), Mark("tom", "wrote", at)):
        await marks.add(["ada@acme.example", "Ada@home.example"], mark)
    expected = [Mark("maureen", "viewed", later), Mark("tom", "wrote", at)]
    assert await marks.of(["ada@home.example"]) == expected == await marks.of(["ada@acme.example", "ada@home.example"])
    assert await marks.of(["ben@acme.example"]) == [] == await marks.of([])
