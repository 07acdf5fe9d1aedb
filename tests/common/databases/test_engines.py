"""Pools and timeouts of SQL engines, on a real Postgres."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import create_engine, sqlite_url, warm
from common.databases.engines import LEAST, MOST

MINE = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")


async def connections(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(MINE)).scalar_one())


async def test_connections_are_opened_ahead_and_bounded(postgres_database: str) -> None:
    engine = create_engine(postgres_database)
    try:
        await warm(engine)
        assert await connections(engine) == LEAST
        most = 0

        async def busy() -> None:
            nonlocal most
            async with engine.connect() as connection:
                most = max(most, int((await connection.execute(MINE)).scalar_one()))
                await asyncio.sleep(0.02)

        await asyncio.gather(*[busy() for _ in range(3 * MOST)])
        assert LEAST < most <= MOST
    finally:
        await engine.dispose()


async def test_the_server_ends_a_statement_that_takes_too_long(postgres_database: str) -> None:
    engine = create_engine(postgres_database, statement_seconds=0.1)
    try:
        async with engine.connect() as connection:
            with pytest.raises(DBAPIError, match="statement timeout"):
                await connection.execute(text("SELECT pg_sleep(5)"))
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    finally:
        await engine.dispose()


async def test_a_connection_that_died_in_the_pool_is_replaced(postgres_database: str) -> None:
    engine = create_engine(postgres_database)
    try:
        await warm(engine)
        async with engine.connect() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            await connection.execute(text(f"{others} AND datname = current_database()"))
        assert [await connections(engine) for _ in range(LEAST)]
    finally:
        await engine.dispose()


async def test_a_file_needs_no_warming(tmp_path: Path) -> None:
    engine = create_engine(sqlite_url(tmp_path / "some.db"))
    await warm(engine)
    await engine.dispose()
