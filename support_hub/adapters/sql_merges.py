"""Merges in SQL, beside the orders. Who merged and what spoke for it are sealed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, LargeBinary, String, Table, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from common.databases.failures import sql_call
from common.databases.replicas import Replicated
from common.errors import NotFound
from common.security.encryption import Keyring
from support_hub.adapters.sealed import Sealer
from support_hub.adapters.sql_tables import Utc, metadata, row
from support_hub.ports import Merge

WHAT = "The store of merges"
merges = Table(
    "merges",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("first", String(110), nullable=False, index=True),
    Column("second", String(110), nullable=False, index=True),
    Column("at", Utc, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("undone_at", Utc),
    Column("undone_by", LargeBinary),
)


class SqlMerges:
    """See ports.MergeStore."""

    def __init__(self, database: Replicated, keys: Keyring) -> None:
        self._database = database
        self._sealer = Sealer(keys)

    async def add(self, merge: Merge) -> Merge:
        values = {"at": merge.at, "sealed": self._sealed(merge)}
        new = insert(merges).values(id=merge.id, first=merge.pair[0], second=merge.pair[1], **values)
        again = update(merges).where(merges.c.id == merge.id, merges.c.undone_at.is_not(None))
        with sql_call(WHAT):
            try:
                async with self._database.write() as connection:
                    await connection.execute(new)
            except IntegrityError:
                async with self._database.write() as connection:
                    await connection.execute(again.values(undone_at=None, undone_by=None, **values))
                    return self._merge(await _one(connection, merge.id))
        return merge

    async def undo(self, merge_id: str, who: str, at: datetime) -> Merge:
        sealed = self._sealer.seal(who, "merges", "undone_by", merge_id)
        there = merges.c.id == merge_id, merges.c.undone_at.is_(None)
        with sql_call(WHAT):
            async with self._database.write() as connection:
                await connection.execute(update(merges).where(*there).values(undone_at=at, undone_by=sealed))
                return self._merge(await _one(connection, merge_id))

    async def of(self, records: Sequence[str]) -> list[Merge]:
        either = or_(merges.c.first.in_(records), merges.c.second.in_(records))
        statement = select(merges).where(merges.c.undone_at.is_(None), either).order_by(merges.c.id)

        async def read(connection: AsyncConnection) -> list[Mapping[str, Any]]:
            return [row(found) for found in await connection.execute(statement)]

        with sql_call(WHAT):
            return [self._merge(raw) for raw in await self._database.read(read)]

    def _sealed(self, merge: Merge) -> bytes:
        return self._sealer.seal({"by": merge.by, "evidence": merge.evidence}, "merges", "sealed", merge.id)

    def _merge(self, raw: Mapping[str, Any]) -> Merge:
        said = self._sealer.open(raw["sealed"], "merges", "sealed", raw["id"])
        who = self._sealer.open(raw["undone_by"], "merges", "undone_by", raw["id"]) if raw["undone_by"] else ""
        pair = raw["first"], raw["second"]
        return Merge(raw["id"], pair, said["by"], raw["at"], tuple(said["evidence"]), who)


async def _one(connection: AsyncConnection, merge_id: str) -> Mapping[str, Any]:
    found = (await connection.execute(select(merges).where(merges.c.id == merge_id))).first()
    if found is None:
        raise NotFound(f"There is no merge {merge_id}.", "list_merge_suggestions has those of a customer.")
    return row(found)
