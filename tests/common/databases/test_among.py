"""A list as one parameter: whatever is in the texts, on both databases."""

from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select

from common.databases import among, create_engine, sqlite_url

HOSTILE = ["a", "b'); DROP TABLE things; --", '"', "\\", "%", "ü\u2028", ":x", "", "[1]", "null"]
things = Table("things", MetaData(), Column("name", String(100), primary_key=True))


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_exactly_these_texts_are_found(database: str, tmp_path: Path, postgres_database: str) -> None:
    engine = create_engine(sqlite_url(tmp_path / "things.db") if database == "sqlite" else postgres_database)
    async with engine.begin() as connection:
        await connection.run_sync(things.metadata.create_all)
        await connection.execute(insert(things), [{"name": text} for text in HOSTILE])
        for wanted in ([], HOSTILE[:1], HOSTILE[1:4], [*HOSTILE, "not there"], [f"n{n}" for n in range(40_000)]):
            found = await connection.execute(select(things.c.name).where(among(things.c.name, wanted)))
            assert {row.name for row in found} == {*wanted} & {*HOSTILE}
    await engine.dispose()


def test_the_statement_is_the_same_however_long_the_list() -> None:
    short, long = (select(things).where(among(things.c.name, ["x"] * count)) for count in (1, 500))
    assert short._generate_cache_key() == long._generate_cache_key()
