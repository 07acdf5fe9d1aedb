"""SQL engines: SQLite embedded, Postgres in production, one code for both."""

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from common.security.rotating_engine import follow_credentials
from common.security.secrets import Rotating
from common.tls import client_context

LEAST, MOST = 5, 20
"""Connections to a Postgres server: so many are kept, and so many are opened at most."""
IDLE_IN_TRANSACTION_SECONDS = 60


def sqlite_url(path: Path) -> str:
    """URL of a SQLite file; its folder is made, readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return f"sqlite+aiosqlite:///{path}"


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late, see _begin_sqlite
    cursor = connection.cursor()
    # WAL lets readers run beside the one writer; FULL makes a commit survive a power loss.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("single", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("immediate", False) else "BEGIN")


def read_write(engine: AsyncEngine) -> AsyncEngine:
    """For transactions that read and then write: SQLite takes the write lock at once and waits its turn for it."""
    return engine.execution_options(immediate=True)


def single(engine: AsyncEngine) -> AsyncEngine:
    """For statements that stand alone: SQLite commits each by itself, which spares its thread half of the work."""
    return engine.execution_options(single=True)


def create_engine(
    url: str, ca_file: Path | None = None, statement_seconds: float = 30.0, follow: Rotating | None = None
) -> AsyncEngine:
    """An engine with bounded pool and timeouts; the caller disposes of it.

    `follow` is the URL as a secret that may change: connections with an old password are replaced.

    With `?ssl=verify-full` (or `require`) in a URL of Postgres, the server's certificate and name are checked.
    """
    if url.startswith("sqlite"):
        engine = create_async_engine(url, connect_args={"timeout": 15})
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    address, arguments = _encrypted(make_url(url), ca_file)
    engine = create_async_engine(
        address,
        pool_size=LEAST,
        max_overflow=MOST - LEAST,
        pool_timeout=30,
        pool_pre_ping=True,
        connect_args={
            "timeout": 10,
            # The server ends what its client cannot end any more; the client waits a little longer.
            "command_timeout": statement_seconds + 1,
            "server_settings": {
                "statement_timeout": str(int(statement_seconds * 1000)),
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_SECONDS * 1000),
                "application_name": "triptych",
            },
            **arguments,
        },
    )
    if follow is not None:
        follow_credentials(engine, follow)
    return engine


async def warm(engine: AsyncEngine) -> None:
    """Open the connections that are kept, so that the first calls do not wait for them. Raises if it cannot."""
    if engine.dialect.name == "sqlite":
        return
    together = asyncio.Barrier(LEAST)

    async def hold() -> None:
        async with engine.connect():
            await together.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(LEAST):
            group.create_task(hold())


def _encrypted(url: URL, ca_file: Path | None) -> tuple[URL, dict[str, Any]]:
    # "require" alone would encrypt for whoever answers: ours always checks who that is.
    wanted = url.query.get("ssl") or url.query.get("sslmode")
    bare = url.difference_update_query(["ssl", "sslmode"])
    if wanted in (None, "disable", "false"):
        return bare, {}
    return bare, {"ssl": client_context(ca_file)}
