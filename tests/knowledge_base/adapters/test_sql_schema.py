"""Databases of older versions: brought up to date once, whole or not at all, and then what a new one is."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import create_engine, read_write, sqlite_url
from common.errors import NotFound, SettingsError
from common.jobs.sql import SqlJobQueue
from common.security.access import AccessScope
from knowledge_base.adapters.sql_catalog import SqlCatalog
from knowledge_base.adapters.sql_schema import SCHEMA
from knowledge_base.adapters.sql_sources import SqlSources
from knowledge_base.filter_syntax import parse_filter
from knowledge_base.filters import Restriction
from tests.services.postgres import new_database

PAT = AccessScope("acme", "pat")
DOCUMENT = "INSERT INTO documents VALUES ('acme', :id, :current, 2, 0, 'public', '[]', '[]', :deleted, NULL)"
VERSION = (
    "INSERT INTO versions VALUES ('acme', :id, :version, 'T', 'tea.md', 'o', 'k', :metadata, 1.0, 'ann', 1.0, :ended)"
)
JOB = "INSERT INTO jobs VALUES ('1', 'b', 'acme', 'ann', '{\"kind\": \"erase\"}', 'queued', 0, NULL, 0, NULL, 1.0)"

BROKEN = """
from alembic import op
revision, down_revision = "0003", "0002"
def upgrade():
    op.execute("DROP TABLE versions")
    op.execute("DROP TABLE no_such_table")
"""


def as_first(connection: Connection) -> None:
    """A database of the first version, with a document that lives and one that was deleted."""
    SCHEMA.upgrade(connection, "0001")
    metadata = json.dumps({"year": 2024, "tags": ["a", "b", "a"], "draft": True, "by": "Ann"})
    for name, current, deleted in (("tea", 2, None), ("gone", None, 5.0)):
        connection.execute(text(DOCUMENT), {"id": name, "current": current, "deleted": deleted})
        for version in (1, 2):
            ended = 2.0 if version == 1 else None
            values = {"id": name, "version": version, "metadata": metadata, "ended": ended}
            connection.execute(text(VERSION), values)
    connection.execute(text("INSERT INTO document_readers VALUES ('acme', 'tea', '*')"))
    connection.execute(text(JOB))


@pytest.fixture(params=["sqlite", "postgres"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """Of a new, empty database."""
    async with AsyncExitStack() as stack:
        url = sqlite_url(tmp_path / "catalog.db")
        if request.param == "postgres":
            url = await stack.enter_async_context(new_database(request.getfixturevalue("postgres_url")))
        found = create_engine(url)
        yield found
        await found.dispose()


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"version_table": "catalog_version"})
    found: list[object] = compare_metadata(context, list(SCHEMA.tables))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("versioned", [True, False], ids=["with versions", "of before there were versions"])
async def test_a_database_of_the_first_version_is_brought_up_to_date(engine: AsyncEngine, versioned: bool) -> None:
    async with read_write(engine).begin() as connection:
        await connection.run_sync(as_first)
        if not versioned:
            await connection.execute(text("DROP TABLE catalog_version"))
    catalog, queue = SqlCatalog(engine), SqlJobQueue(engine, "one")
    # As several servers that are started at once.
    await asyncio.gather(*(each.open() for each in (catalog, SqlCatalog(engine), SqlSources(engine))))
    async with engine.connect() as connection:
        assert await connection.run_sync(SCHEMA.version) == SCHEMA.head
        assert await connection.run_sync(differences) == []
    for wanted in ({"year": 2024}, {"tags": {"in": ["b"]}}, {"draft": True}, {"by": "Ann", "year": {"lt": 2025}}):
        found = await catalog.valid(["tea", "gone"], Restriction(PAT, where=parse_filter(wanted)))
        assert {name: each.version for name, each in found.items()} == {"tea": 2}
    assert await catalog.valid(["tea"], Restriction(PAT, where=parse_filter({"draft": False}))) == {}
    assert await catalog.lives("acme", ["tea", "gone"]) == {"gone": 2}
    with pytest.raises(NotFound):
        await catalog.get("gone", PAT)
    [job] = await queue.claim(5)
    await queue.finish([job])
    assert (await queue.depth()).dead == 0 and job.failures == 0
    assert await SqlSources(engine).registered() == []


async def test_new_databases_are_the_same_and_need_no_steps(engine: AsyncEngine) -> None:
    await asyncio.gather(*(SqlCatalog(engine).open() for _ in range(3)))
    async with engine.connect() as connection:
        assert await connection.run_sync(SCHEMA.version) == SCHEMA.head
        assert await connection.run_sync(differences) == []


async def test_a_step_that_fails_leaves_everything_as_it_was(engine: AsyncEngine, tmp_path: Path) -> None:
    steps = tmp_path / "steps"
    shutil.copytree(SCHEMA.steps, steps)
    (steps / "v0003_broken.py").write_text(BROKEN)
    async with read_write(engine).begin() as connection:
        await connection.run_sync(as_first)
    with pytest.raises(Exception, match="no_such_table"):
        async with read_write(engine).begin() as connection:
            await connection.run_sync(replace(SCHEMA, steps=steps, head="0003").bring_up_to_date)
    async with engine.connect() as connection:
        assert await connection.run_sync(SCHEMA.version) == "0001"
        tables = await connection.run_sync(lambda there: inspect(there).get_table_names())
        assert "versions" in tables and "facts" not in tables


async def test_a_database_of_a_newer_version_is_left_alone(engine: AsyncEngine) -> None:
    await SqlCatalog(engine).open()
    async with read_write(engine).begin() as connection:
        await connection.execute(text("UPDATE catalog_version SET version_num = '9999'"))
    with pytest.raises(SettingsError, match="version 9999.*up to 0002.*Run the newer version"):
        await SqlCatalog(engine).open()


def test_the_newest_step_is_the_one_that_is_named() -> None:
    steps = ScriptDirectory(SCHEMA.steps, version_locations=[SCHEMA.steps])
    assert steps.get_heads() == [SCHEMA.head]
    assert [step.revision for step in steps.walk_revisions()][-1] == "0001"


def test_a_start_loads_no_alembic(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from common.databases import create_engine, sqlite_url
from knowledge_base.adapters.sql_catalog import SqlCatalog
async def main():
    for _ in range(2):
        engine = create_engine(sqlite_url(Path(sys.argv[1])))
        await SqlCatalog(engine).open()
        await engine.dispose()
asyncio.run(main())
sys.exit("alembic" in sys.modules)
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "new.db")], cwd=root, timeout=60)
    assert done.returncode == 0
