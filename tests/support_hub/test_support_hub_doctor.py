"""What `triptych doctor` says of the hub's databases, with real ones."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from common.databases import create_engine
from common.databases.replicas import Replicated
from common.settings import CommonSettings
from support_hub.adapters.sql_store import SqlStore
from support_hub.cli import check_databases
from tests.services.postgres import new_database
from tests.support.hub import environment
from tests.support_hub.adapters.conftest import KEYS


async def test_each_database_by_name(tmp_path: Path, postgres_database: str, mongodb_database: str) -> None:
    settings = {"SUPPORT_POSTGRES_URL": postgres_database, "SUPPORT_MONGODB_URL": mongodb_database}
    with environment(settings):
        found = await check_databases(CommonSettings(data_dir=tmp_path))
    assert [each.split()[0] for each in found.split(", ")] == ["orders", "profile", "marks"]


async def test_a_replica_and_how_far_it_is_behind(tmp_path: Path, postgres_pair: tuple[str, str]) -> None:
    async with new_database(postgres_pair[0]) as primary:
        replica = f"{postgres_pair[1].rpartition('/')[0]}/{primary.rpartition('/')[2]}"
        database = Replicated(create_engine(primary))
        await SqlStore(database, KEYS).open()
        await database.close()
        settings = {"SUPPORT_POSTGRES_URL": primary, "SUPPORT_REPLICA_LAG_SECONDS": "30"}
        with environment({**settings, "SUPPORT_POSTGRES_REPLICA_URLS": replica}):
            assert "s behind" in await _once_there(CommonSettings(data_dir=tmp_path))
        with environment({**settings, "SUPPORT_POSTGRES_REPLICA_URLS": primary}):
            with pytest.raises(RuntimeError, match="SUPPORT_POSTGRES_REPLICA_URLS"):
                await check_databases(CommonSettings(data_dir=tmp_path))


async def _once_there(settings: CommonSettings) -> str:
    """What is said once the standby has the new database, too."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(RuntimeError):
                return await check_databases(settings)
            await asyncio.sleep(0.1)


async def test_one_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support_hub.bootstrap.OPEN_SECONDS", 0.2)
    settings = {"SUPPORT_MONGODB_URL": "mongodb://127.0.0.1:9/hub", "SUPPORT_SOURCE_SECONDS": "0.5"}
    with environment(settings), pytest.raises(RuntimeError, match="profile: .*SUPPORT_MONGODB_URL"):
        await check_databases(CommonSettings(data_dir=tmp_path))
