"""Keeps the simulated cluster in one row of a SQLite file, which all processes of the data folder share."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import JSON, Column, Integer, MetaData, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from common.databases import create_engine, create_tables, read_write, sqlite_url
from devops.adapters.simulated.controllers import settle
from devops.adapters.simulated.seed import seed
from devops.adapters.simulated.state import Clock, State

T = TypeVar("T")
METADATA = MetaData()
CLUSTER = Table(
    "simulated_cluster",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("objects", JSON, nullable=False),
)


def forget(file: Path) -> None:
    """Remove the cluster, so that it begins anew with its incidents; nobody may have it open."""
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
        file.with_name(name).unlink(missing_ok=True)


class StoredState:
    """The state and its transactions."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self._engine = create_engine(sqlite_url(file))
        self._clock = clock
        self._kept: State | None = None

    async def open(self) -> None:
        """Seed the cluster if it is not there yet."""
        async with read_write(self._engine).begin() as connection:
            await connection.run_sync(create_tables, METADATA)
            if (await connection.execute(select(CLUSTER.c.id))).first() is None:
                now = self._clock()
                state = State(lambda: now)
                seed(state, now)
                await connection.execute(CLUSTER.insert().values(id=1, **state.document))

    async def close(self) -> None:
        await self._engine.dispose()

    async def read(self) -> State:
        """The state as it is now; not to be changed."""
        async with self._engine.connect() as connection:
            return await self._current(connection)

    async def _current(self, connection: AsyncConnection) -> State:
        version = (await connection.execute(select(CLUSTER.c.version))).scalar_one()
        if self._kept is None or self._kept.version != version:
            row = (await connection.execute(select(CLUSTER.c.version, CLUSTER.c.objects))).one()
            self._kept = State(self._clock, {"version": row.version, "objects": row.objects})
        return self._kept

    async def change(self, work: Callable[[State], T], dry_run: bool) -> T:
        """One transaction: the work, then the controllers; a dry run keeps nothing of it."""
        async with read_write(self._engine).begin() as connection:
            state = (await self._current(connection)).fork()
            now = self._clock()
            state.clock = lambda: now
            result = work(state)
            if not dry_run:
                settle(state)
                await connection.execute(update(CLUSTER).values(**state.document))
        return result
