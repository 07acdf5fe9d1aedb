"""Profiles in SQL, for an installation without MongoDB."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from common.databases.failures import sql_call
from common.databases.replicas import Replicated
from common.security.encryption import Keyring
from support_hub.adapters.sealed import Sealer
from support_hub.adapters.sql_tables import profiles as table
from support_hub.records import Profile

WHAT = "The profile store"
BATCH = 500


class SqlProfiles:
    """See ports.Profiles. It shares the database with the orders, which opens and closes it."""

    def __init__(self, database: Replicated, keys: Keyring) -> None:
        self._database = database
        self._sealer = Sealer(keys)

    async def open(self) -> None:
        """Its table is made with the others."""

    async def get(self, emails: Sequence[str]) -> Profile | None:
        statement = select(table).where(table.c.email_index.in_(self._sealer.indexes(emails)))

        async def read(connection: AsyncConnection) -> dict[str, bytes]:
            return {each.email_index: each.sealed for each in await connection.execute(statement)}

        with sql_call(WHAT):
            found = await self._database.read(read)
        return self._sealer.first_profile(emails, found)

    async def put(self, profiles: Iterable[Profile]) -> None:
        every = list(profiles)
        with sql_call(WHAT):
            async with self._database.write() as connection:
                for at in range(0, len(every), BATCH):
                    await self._replace(connection, every[at : at + BATCH])

    async def _replace(self, connection: AsyncConnection, profiles: Sequence[Profile]) -> None:
        # Also those that an older key wrote, so that an address has one row.
        there = self._sealer.indexes(profile.email for profile in profiles)
        await connection.execute(delete(table).where(table.c.email_index.in_(there)))
        rows = [self._sealer.profile(profile) for profile in profiles]
        await connection.execute(insert(table), [{"email_index": index, "sealed": sealed} for index, sealed in rows])

    async def ping(self) -> None:
        await self._database.ping()

    async def close(self) -> None:
        """The orders' database closes it."""
