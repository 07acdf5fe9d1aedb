"""One primary and its streaming replicas: writes go to the primary, reads to a replica that is fresh enough.

How old a replica's data is cannot be asked of the replica: one that lost its primary believes that it has everything.
So the primary's position (LSN) is noted from time to time; a replica that has replayed it has all that was committed
before it was noted.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import TypeVar

import structlog
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from common.databases.engines import read_write, warm
from common.databases.failures import TOO_SLOW, state_of
from common.databases.positions import UNREACHED, LocalPositions, Positions

T = TypeVar("T")
log = structlog.get_logger(__name__)
FAILED = (DBAPIError, PoolTimeout, OSError, TimeoutError)
WRITTEN = text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
REPLAYED = text("SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn WHERE pg_is_in_recovery()")


@dataclass(frozen=True)
class ReplicaLimits:
    """What a read may be given. Times in seconds."""

    lag: float = 1.0
    """How old a replica's data may be."""
    check_every: float = 0.25
    check_within: float = 0.5
    """How long a check may take; a read waits for it."""
    rest: float = 5.0
    """How long a replica that did not answer is left alone."""


class Replica:
    """What is known of one replica."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.name = f"{engine.url.host}:{engine.url.port}"
        self.replayed = -1
        self.rests_until = 0.0

    def rest(self, seconds: float, error: BaseException) -> None:
        """It failed: leave it alone."""
        self.replayed = -1
        self.rests_until = time.monotonic() + seconds
        log.warning("databases.replica_failed", replica=self.name, error=type(error).__name__)


class Replicated:
    """Reads see what their caller wrote before, and are never older than the limit: else the primary answers."""

    def __init__(
        self,
        primary: AsyncEngine,
        replicas: Sequence[AsyncEngine] = (),
        limits: ReplicaLimits | None = None,
        positions: Positions | None = None,
    ) -> None:
        self.primary = primary
        self.reads = Counter[str]()
        """How many reads each server answered."""
        self._replicas = [Replica(engine) for engine in replicas]
        self._limits = limits or ReplicaLimits()
        self._positions = positions or LocalPositions()
        self._noted: deque[tuple[float, int]] = deque()
        self._checked_at = float("-inf")
        self._checking: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def write(self, caller: str = "") -> AsyncIterator[AsyncConnection]:
        """A transaction on the primary. The next reads of `caller` see it, in every process."""
        async with read_write(self.primary).connect() as connection:
            async with connection.begin():
                yield connection
            if self._replicas:
                await self._positions.remember(caller, await self._written(connection))

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]], caller: str = "") -> T:
        """What `work` reads from a server that is fresh enough. It runs again on the primary if a replica fails."""
        replica = await self._fresh(caller) if self._replicas else None
        if replica is not None:
            try:
                async with replica.engine.connect() as connection:
                    found = await work(connection)
                self.reads[replica.name] += 1
                return found
            except FAILED as error:
                if state_of(error) == TOO_SLOW:
                    # It would take as long elsewhere.
                    raise
                if not isinstance(error, DBAPIError) or error.connection_invalidated:
                    replica.rest(self._limits.rest, error)
        self.reads["primary"] += 1
        async with self.primary.connect() as connection:
            return await work(connection)

    async def warm(self) -> None:
        """Open the connections that are kept: a check has no time for it. Raises if the primary does not answer."""
        await warm(self.primary)
        for replica in self._replicas:
            try:
                await warm(replica.engine)
            except Exception as error:
                replica.rest(self._limits.rest, error)

    async def ping(self) -> None:
        """Raises if the primary does not answer."""
        async with self.primary.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def lags(self) -> dict[str, float]:
        """By replica, at most how many seconds old its data is now; infinite for one that no read is sent to."""
        await self._check()
        now = time.monotonic()
        return {
            replica.name: min((now - at for at, written in self._noted if written <= replica.replayed), default=inf)
            for replica in self._replicas
        }

    async def close(self) -> None:
        """Close all connections."""
        for engine in (self.primary, *(replica.engine for replica in self._replicas)):
            await engine.dispose()

    async def _written(self, connection: AsyncConnection) -> int:
        """How far the primary has written; it is committed, so whatever fails here must not look as if it were not."""
        try:
            return await _number(connection, WRITTEN)
        except Exception as error:
            log.warning("databases.position_unknown", error=type(error).__name__)
            return UNREACHED

    async def _fresh(self, caller: str) -> Replica | None:
        """A replica that may answer this caller."""
        if time.monotonic() - self._checked_at > self._limits.check_every:
            await self._check()
        own = await self._positions.of(caller)
        oldest = time.monotonic() - self._limits.lag
        noted = next((written for at, written in self._noted if at >= oldest), None)
        if noted is None or own is None:
            return None
        usable = [replica for replica in self._replicas if replica.replayed >= max(noted, own)]
        return random.choice(usable) if usable else None  # noqa: S311 - spreads load

    async def _check(self) -> None:
        """Once at a time, however many reads wait for it."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._ask_all())
        await asyncio.shield(self._checking)

    async def _ask_all(self) -> None:
        now = time.monotonic()
        due = [replica for replica in self._replicas if replica.rests_until <= now]
        within = self._limits.check_within
        answers = await asyncio.gather(
            _position(self.primary, WRITTEN, within),
            *[_position(replica.engine, REPLAYED, within) for replica in due],
            return_exceptions=True,
        )
        written, *replayed = answers
        if isinstance(written, int):
            self._noted.append((now, written))
        while self._noted and self._noted[0][0] < now - self._limits.lag:
            self._noted.popleft()
        for replica, answer in zip(due, replayed, strict=True):
            if isinstance(answer, int):
                replica.replayed = answer
            else:
                replica.rest(self._limits.rest, answer)
        self._checked_at = time.monotonic()


async def _position(engine: AsyncEngine, statement: TextClause, seconds: float) -> int:
    async with asyncio.timeout(seconds), engine.connect() as connection:
        return await _number(connection, statement)


async def _number(connection: AsyncConnection, statement: TextClause) -> int:
    """Raises NoResultFound for a replica that is none (any more)."""
    return int((await connection.execute(statement)).scalar_one())
