"""Which writes were begun and finished, so that a repetition does nothing twice."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, LargeBinary, String, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases import read_write
from common.databases.failures import sql_call
from common.security.encryption import Keyring
from support_hub.adapters.sealed import Sealer
from support_hub.adapters.sql_tables import Utc, metadata
from support_hub.ports import Begun

WHAT = "The record of writes"
writes = Table(
    "writes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("began_at", Utc, nullable=False),
    Column("busy_until", Utc, nullable=False),
    Column("result", LargeBinary),
)


class SqlWrites:
    """See ports.Writes."""

    def __init__(self, engine: AsyncEngine, keys: Keyring) -> None:
        self._engine = engine
        self._sealer = Sealer(keys)

    async def begin(self, name: str, digest: str, busy_until: datetime) -> Begun:
        now = datetime.now(UTC)
        try:
            async with self._transaction() as connection:
                fresh = insert(writes).values(name=name, digest=digest, began_at=now, busy_until=busy_until)
                await connection.execute(fresh)
            return Begun(digest, now, is_first=True, is_mine=True)
        except IntegrityError:
            return await self._take_over(name, digest, busy_until, now)

    async def _take_over(self, name: str, digest: str, busy_until: datetime, now: datetime) -> Begun:
        same = writes.c.name == name, writes.c.digest == digest
        mine = *same, writes.c.result.is_(None), writes.c.busy_until < now
        async with self._transaction() as connection:
            taken = await connection.execute(update(writes).where(*mine).values(busy_until=busy_until))
            row = (await connection.execute(select(writes).where(writes.c.name == name))).one()
        result = None if row.result is None else self._sealer.open(row.result, "writes", "result", name)
        return Begun(row.digest, row.began_at, is_first=False, is_mine=taken.rowcount == 1, result=result)

    async def finish(self, name: str, result: Mapping[str, Any]) -> None:
        sealed = self._sealer.seal(dict(result), "writes", "result", name)
        async with self._transaction() as connection:
            await connection.execute(update(writes).where(writes.c.name == name).values(result=sealed))

    async def release(self, name: str) -> None:
        async with self._transaction() as connection:
            past = datetime.fromtimestamp(0, UTC)
            await connection.execute(update(writes).where(writes.c.name == name).values(busy_until=past))

    async def forget(self, name: str) -> None:
        async with self._transaction() as connection:
            await connection.execute(delete(writes).where(writes.c.name == name))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with sql_call(WHAT):
            async with read_write(self._engine).begin() as connection:
                yield connection
