"""The servers of a deployment share one database, and are started at once, several of each."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from common.confirm import Confirmations
from common.databases import create_engine
from common.databases.replicas import Replicated
from common.security.api_key_stores import SqlApiKeys
from common.security.audit_chain import open_tables
from common.security.encryption import Keyring
from common.security.signing import SigningKey
from devops.adapters.sql_changes import SqlChanges
from devops.changes.clock import SteadyClock
from knowledge_base.adapters.sql_catalog import SqlCatalog
from support_hub.adapters.sql_store import SqlStore

EACH = 4
OPEN: dict[str, Callable[[AsyncEngine], Awaitable[None]]] = {
    "api_keys": lambda engine: SqlApiKeys(engine).open(),
    "audit_records": open_tables,
    "spent_confirmations": lambda engine: Confirmations(engine).open(),
    "changes": lambda engine: SqlChanges(engine, SteadyClock()).open(),
    "documents": lambda engine: SqlCatalog(engine).open(),
    "orders": lambda engine: SqlStore(Replicated(engine), Keyring(SigningKey(b"k" * 32))).open(),
}


async def test_all_servers_may_start_at_once_on_a_new_database(postgres_database: str) -> None:
    async with AsyncExitStack() as stack:
        engines = [create_engine(postgres_database) for _ in range(EACH * len(OPEN))]
        for engine in engines:
            stack.push_async_callback(engine.dispose)
        parts = EACH * list(OPEN.values())
        await asyncio.gather(*(opens(engine) for opens, engine in zip(parts, engines, strict=True)))
        async with engines[0].connect() as connection:
            tables = await connection.run_sync(lambda there: inspect(there).get_table_names())
        assert set(OPEN) <= set(tables)
