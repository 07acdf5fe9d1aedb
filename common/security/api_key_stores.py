"""Where API keys are: in a file for processes of one host, or in the database for replicas on several."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from sqlalchemy import JSON, Boolean, Column, Float, MetaData, RowMapping, String, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import create_engine, create_tables, read_write
from common.errors import NotFound
from common.security.api_keys import ApiKey, ApiKeyStore, api_keys_path, key_id_of, new_key
from common.settings import Classification, CommonSettings

metadata = MetaData()
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("tenant", String(100), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("groups", JSON, nullable=False),
    Column("clearance", String(20), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("revoked", Boolean, nullable=False),
)


class ApiKeys(Protocol):
    """Every look-up sees what any process changed before it."""

    async def verify(self, token: str) -> ApiKey | None:
        """The active key of this token, or None."""

    async def get(self, key_id: str) -> ApiKey | None:
        """The key if it is still active."""

    async def all(self) -> list[ApiKey]:
        """All keys, oldest first."""

    async def create(
        self,
        owner: str,
        tenant: str,
        roles: list[str],
        groups: list[str],
        clearance: Classification = "internal",
        days: float = 90,
    ) -> tuple[ApiKey, str]:
        """Make a key; the second value is the token, which cannot be had again."""

    async def revoke(self, key_id: str) -> ApiKey:
        """Refuse this key from now on. Raises NotFound."""

    async def rotate(self, key_id: str, overlap_hours: float = 24) -> tuple[ApiKey, str]:
        """A new key with the same rights; the old one ends after the overlap. Raises NotFound."""


class FileApiKeys:
    """See ApiKeys; a look-up costs one `stat`."""

    def __init__(self, store: ApiKeyStore) -> None:
        self.store = store

    async def verify(self, token: str) -> ApiKey | None:
        return self.store.verify(token)

    async def get(self, key_id: str) -> ApiKey | None:
        return self.store.get(key_id)

    async def all(self) -> list[ApiKey]:
        return self.store.all()

    async def create(
        self,
        owner: str,
        tenant: str,
        roles: list[str],
        groups: list[str],
        clearance: Classification = "internal",
        days: float = 90,
    ) -> tuple[ApiKey, str]:
        return self.store.create(owner, tenant, roles, groups, clearance, days)

    async def revoke(self, key_id: str) -> ApiKey:
        return self.store.revoke(key_id)

    async def rotate(self, key_id: str, overlap_hours: float = 24) -> tuple[ApiKey, str]:
        return self.store.rotate(key_id, overlap_hours)


class SqlApiKeys:
    """See ApiKeys; a look-up is one row by its id. What the database does not answer is refused."""

    def __init__(self, engine: AsyncEngine) -> None:
        # A look-up is a single statement: it needs no transaction around it.
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = read_write(engine)
        self._engine = engine

    async def open(self) -> None:
        """Make the table if it is missing."""
        async with self._writer.begin() as connection:
            await connection.run_sync(create_tables, metadata)

    async def verify(self, token: str) -> ApiKey | None:
        key = await self._find(key_id_of(token))
        return key if key and key.fits(token) and key.state == "active" else None

    async def get(self, key_id: str) -> ApiKey | None:
        key = await self._find(key_id)
        return key if key and key.state == "active" else None

    async def all(self) -> list[ApiKey]:
        async with self._reader.connect() as connection:
            rows = await connection.execute(select(api_keys).order_by(api_keys.c.created))
            return [_key(row) for row in rows.mappings()]

    async def create(
        self,
        owner: str,
        tenant: str,
        roles: list[str],
        groups: list[str],
        clearance: Classification = "internal",
        days: float = 90,
    ) -> tuple[ApiKey, str]:
        made = new_key(owner, tenant, roles, groups, clearance, days)
        async with self._writer.begin() as connection:
            await connection.execute(insert(api_keys).values(**made[0].model_dump()))
        return made

    async def revoke(self, key_id: str) -> ApiKey:
        return await self._set(key_id, revoked=True)

    async def rotate(self, key_id: str, overlap_hours: float = 24) -> tuple[ApiKey, str]:
        old = await self.get(key_id)
        if old is None:
            raise NotFound(f"There is no active key {key_id}.", "`triptych keys list` shows them.")
        days = (old.expires - old.created) / 86_400
        made = await self.create(old.owner, old.tenant, old.roles, old.groups, old.clearance, days)
        await self._set(key_id, expires=min(old.expires, time.time() + overlap_hours * 3600))
        return made

    async def _find(self, key_id: str) -> ApiKey | None:
        async with self._reader.connect() as connection:
            found = (await connection.execute(select(api_keys).where(api_keys.c.id == key_id))).mappings().first()
        return _key(found) if found else None

    async def _set(self, key_id: str, **values: Any) -> ApiKey:
        changed = update(api_keys).where(api_keys.c.id == key_id).values(**values).returning(api_keys)
        async with self._writer.begin() as connection:
            found = (await connection.execute(changed)).mappings().first()
        if found is None:
            raise NotFound(f"There is no key {key_id}.", "`triptych keys list` shows them.")
        return _key(found)


def _key(row: RowMapping) -> ApiKey:
    return ApiKey.model_validate(dict(row))


def are_in_database(settings: CommonSettings) -> bool:
    """Whether the settings name a database, and no file of their own for keys."""
    return settings.database_url is not None and settings.api_keys_file is None


def build_api_keys(settings: CommonSettings, engine: AsyncEngine) -> ApiKeys:
    """The keys of these settings; those in the database have to be opened."""
    return SqlApiKeys(engine) if are_in_database(settings) else FileApiKeys(ApiKeyStore(api_keys_path(settings)))


@asynccontextmanager
async def opened_api_keys(settings: CommonSettings) -> AsyncIterator[ApiKeys]:
    """The same for a command, with a connection of its own."""
    if not are_in_database(settings):
        yield FileApiKeys(ApiKeyStore(api_keys_path(settings)))
        return
    assert settings.database_url is not None  # noqa: S101 - see are_in_database
    engine = create_engine(
        settings.database_url.get_secret_value(), settings.ca_file, follow=settings.follow("database_url")
    )
    try:
        keys = SqlApiKeys(engine)
        await keys.open()
        yield keys
    finally:
        await engine.dispose()
