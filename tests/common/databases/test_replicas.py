"""Two real servers in streaming replication: who answers a read when the standby lags, dies, hangs or is none."""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from common.databases import create_engine
from common.databases.positions import LocalPositions, Positions
from common.databases.redis_positions import RedisPositions
from common.databases.replicas import ReplicaLimits, Replicated
from common.redis_client import connect_redis

PATIENT = ReplicaLimits(lag=30.0, check_every=0.0, check_within=5.0)
TABLE = f"notes_{secrets.token_hex(4)}"
COUNT = f"SELECT count(*) FROM {TABLE}"  # noqa: S608 - a constant


def replicated(*urls: str, limits: ReplicaLimits = PATIENT, positions: Positions | None = None) -> Replicated:
    primary, *replicas = map(create_engine, urls)
    return Replicated(primary, replicas, limits, positions)


@contextlib.asynccontextmanager
async def opened(*urls: str, limits: ReplicaLimits = PATIENT) -> AsyncIterator[Replicated]:
    database = replicated(*urls, limits=limits)
    try:
        yield database
    finally:
        await database.close()


async def count(connection: AsyncConnection) -> int:
    return int((await connection.execute(text(COUNT))).scalar_one())


async def where(connection: AsyncConnection) -> str:
    on_standby = (await connection.execute(text("SELECT pg_is_in_recovery()"))).scalar_one()
    return "standby" if on_standby else "primary"


async def add(database: Replicated, caller: str = "") -> None:
    async with database.write(caller) as connection:
        await connection.execute(text(f"INSERT INTO {TABLE} DEFAULT VALUES"))


async def until_from(database: Replicated, server: str, caller: str = "") -> None:
    async with asyncio.timeout(10):
        while await database.read(where, caller) != server:
            await asyncio.sleep(0.01)


@pytest.fixture
async def pair(postgres_pair: tuple[str, str]) -> AsyncIterator[Replicated]:
    """The standby has everything, and replays."""
    async with opened(*postgres_pair) as database, opened(postgres_pair[1]) as standby:
        async with database.write() as connection:
            await connection.execute(text(f"CREATE TABLE IF NOT EXISTS {TABLE} (id serial)"))
        await until_from(database, "standby")
        yield database
        async with standby.primary.connect() as connection:
            await connection.execute(text("SELECT pg_wal_replay_resume()"))


@pytest.fixture
async def paused(pair: Replicated, postgres_pair: tuple[str, str]) -> Replicated:
    """The standby replays nothing any more."""
    async with opened(postgres_pair[1]) as standby, standby.primary.connect() as connection:
        await connection.execute(text("SELECT pg_wal_replay_pause()"))
        async with asyncio.timeout(10):
            while await state_of_replay(connection) != "paused":
                await asyncio.sleep(0.01)
    return pair


async def state_of_replay(connection: AsyncConnection) -> str:
    return str((await connection.execute(text("SELECT pg_get_wal_replay_pause_state()"))).scalar_one())


async def test_reads_go_to_the_standby_and_writes_to_the_primary(pair: Replicated) -> None:
    before = await pair.read(count)
    async with pair.write() as connection:
        assert await where(connection) == "primary"
    await add(pair)
    await until_from(pair, "standby")
    assert await pair.read(count) == before + 1
    assert sum(pair.reads.values()) > pair.reads["primary"]


async def test_who_wrote_reads_it_although_the_replay_is_paused(paused: Replicated) -> None:
    before = await paused.read(count, "ada")
    await add(paused, "ada")
    assert await paused.read(where, "ada") == "primary"
    assert await paused.read(count, "ada") == before + 1
    # Another caller is served by the standby, within the lag that is allowed.
    assert await paused.read(where, "ben") == "standby"
    assert await paused.read(count, "ben") == before


async def test_a_standby_that_lags_too_much_is_not_read(paused: Replicated, postgres_pair: tuple[str, str]) -> None:
    async with opened(*postgres_pair, limits=ReplicaLimits(0.2, check_every=0.0, check_within=5.0)) as strict:
        await until_from(strict, "standby", "ben")
        await add(paused, "ada")
        await until_from(strict, "primary", "ben")
        assert await strict.read(count, "ben") == await strict.read(count, "ada")
        assert set((await strict.lags()).values()) == {float("inf")}
        async with opened(postgres_pair[1]) as standby, standby.primary.connect() as connection:
            await connection.execute(text("SELECT pg_wal_replay_resume()"))
        await until_from(strict, "standby", "ben")
        assert max((await strict.lags()).values()) < 0.2


async def test_no_read_is_older_than_the_limit_while_the_replay_stops_and_goes(
    pair: Replicated, postgres_pair: tuple[str, str]
) -> None:
    """A writer notes when each row was there for certain; a reader must see what is older than the limit."""
    limit = 0.15
    written: list[tuple[float, int]] = []
    loop = asyncio.get_running_loop()
    began, seen = loop.time(), 0
    by_server: Counter[str] = Counter()

    def goes_on() -> bool:
        """For a while, until much was written and read, from either: a slow machine takes longer."""
        enough = loop.time() > began + 1.5 and min(seen, len(written)) > 20 and len(by_server) == 2
        return not enough and loop.time() < began + 60

    async def write() -> None:
        while goes_on():
            await add(pair, "writer")
            written.append((loop.time(), await pair.read(count, "writer")))
            await asyncio.sleep(0.005)

    async def stop_and_go() -> None:
        async with opened(postgres_pair[1]) as standby, standby.primary.connect() as connection:
            while goes_on():
                await connection.execute(text("SELECT pg_wal_replay_pause()"))
                await asyncio.sleep(0.3)
                await connection.execute(text("SELECT pg_wal_replay_resume()"))
                await asyncio.sleep(0.2)

    async def read() -> None:
        nonlocal seen
        async with opened(*postgres_pair, limits=ReplicaLimits(limit, check_every=0.02)) as reader:
            while goes_on():
                needed = max((number for at, number in written if at < loop.time() - limit), default=0)
                assert await reader.read(count, "reader") >= needed
                seen += 1
                by_server.update(reader.reads)

    await asyncio.gather(write(), stop_and_go(), read())
    # Both were asked, so that something was tried.
    assert seen > 20 and len(written) > 20 and len(by_server) == 2


async def test_a_write_whose_position_cannot_be_asked_for_is_done_and_read(
    paused: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await paused.read(count, "ada")
    with monkeypatch.context() as dying:
        # The server ends the connection after the commit, and instead of an answer.
        dying.setattr("common.databases.replicas.WRITTEN", text("SELECT pg_terminate_backend(pg_backend_pid())"))
        await add(paused, "ada")
    assert await paused.read(where, "ben") == "standby"
    assert await paused.read(where, "ada") == "primary"
    assert await paused.read(count, "ada") == before + 1


async def test_other_processes_know_who_wrote(
    paused: Replicated, postgres_pair: tuple[str, str], redis_url: str
) -> None:
    redis = connect_redis(redis_url)
    one, other = (
        replicated(*postgres_pair, positions=RedisPositions(redis, f"test:{TABLE}:")) for _ in ("writes", "reads")
    )
    try:
        assert await other.read(where, "ada") == "standby"
        await add(one, "ada")
        assert await other.read(where, "ada") == "primary"
        assert await other.read(where, "ben") == "standby"
        assert not [key async for key in redis.scan_iter(f"test:{TABLE}:*") if b"ada" in key]
    finally:
        await one.close()
        await other.close()
        await redis.aclose()


async def test_without_word_of_who_wrote_the_primary_answers(
    pair: Replicated, postgres_pair: tuple[str, str], dead_port: int
) -> None:
    redis = connect_redis(f"redis://127.0.0.1:{dead_port}/0")
    database = replicated(*postgres_pair, positions=RedisPositions(redis, "test:"))
    try:
        await add(database, "ada")
        assert await database.read(where, "ada") == "primary"
    finally:
        await database.close()
        await redis.aclose()


@pytest.mark.parametrize("kind", ["dead_port", "silent_port"])
async def test_a_standby_that_is_away_costs_little(
    postgres_pair: tuple[str, str], kind: str, request: pytest.FixtureRequest
) -> None:
    away = f"postgresql+asyncpg://nobody@127.0.0.1:{request.getfixturevalue(kind)}/postgres"
    limits = ReplicaLimits(check_every=0.0, check_within=0.2)
    loop = asyncio.get_running_loop()
    async with opened(postgres_pair[0], away, limits=limits) as database:
        began = loop.time()
        places = {await database.read(where) for _ in range(20)}
        assert places == {"primary"} and database.reads["primary"] == 20
        # It is asked once, and then left alone.
        assert loop.time() - began < 5.0


async def test_a_server_that_is_no_standby_is_not_read(postgres_pair: tuple[str, str]) -> None:
    async with opened(postgres_pair[0], postgres_pair[0]) as database:
        assert await database.read(where) == "primary"
        assert database.reads == {"primary": 1}


async def test_a_read_whose_standby_dies_runs_again_on_the_primary(pair: Replicated) -> None:
    places = []

    async def dies(connection: AsyncConnection) -> str:
        places.append(await where(connection))
        if places == ["standby"]:
            await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return places[-1]

    assert await pair.read(dies) == "primary"
    assert places == ["standby", "primary"]
    assert await pair.read(where) == "primary", "a standby that failed is left alone for a while"


async def test_a_wrong_statement_is_not_the_standbys_fault(pair: Replicated) -> None:
    async def wrong(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT * FROM there_is_no_such_table"))

    with pytest.raises(ProgrammingError):
        await pair.read(wrong)
    assert await pair.read(where) == "standby"


async def test_without_replicas_the_primary_answers_and_nothing_is_noted(postgres_pair: tuple[str, str]) -> None:
    async with opened(postgres_pair[0]) as database:
        await add(database, "ada")
        assert await database.read(where, "ada") == "primary"
        assert await database.lags() == {}


async def test_positions_only_grow_and_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = LocalPositions()
    await positions.remember("ada", 7)
    await positions.remember("ada", 5)
    assert (await positions.of("ada"), await positions.of("ben")) == (7, 0)
    monkeypatch.setattr("common.databases.positions.MOST", 1)
    await positions.remember("ben", 3)
    assert (await positions.of("ada"), await positions.of("ben")) == (0, 3)
