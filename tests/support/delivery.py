"""Guaranteed delivery: workers are killed, Redis is emptied, the index goes away, and every document arrives once."""

import asyncio
import os
import random
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from common.jobs import new_batch
from common.jobs.sql import SqlJobQueue
from common.jobs.sql_table import jobs
from common.security.access import AccessScope
from common.settings import CommonSettings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.filters import Restriction
from knowledge_base.settings import KnowledgeBaseSettings
from tests.services.redis import Restartable
from tests.support.knowledge import document

ROOT = Path(__file__).parents[2]
OPERATOR = AccessScope("acme", "operator", clearance="restricted")
WORKERS = 4
KILL_SECONDS = 2.0
LEASE_SECONDS = 5.0
MAX_KILLS = 12
"""Then they are left in peace: on a slow machine the others would never come to anything."""
GROUP = 20
Outage = Callable[[], Awaitable[None]]


@dataclass
class Delivery:
    """What happened, and what is wrong at the end."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return ", ".join(f"{name}: {count:,}" for name, count in self.counts.items())


async def deliver(
    folder: Path, redis: Restartable, count: int, backend: dict[str, str], outage: Outage | None = None
) -> Delivery:
    """Hand in `count` documents, a quarter of them twice, while everything fails; then look for each of them.

    `backend` are settings of the index; `outage` takes it away for a while.
    """
    story = Delivery(Counter({"documents": count}))
    given = {"TRIPTYCH_DATA_DIR": str(folder), "TRIPTYCH_REDIS_URL": redis.url, **backend}
    environment = {**os.environ, **given, "KB_JOB_LEASE_SECONDS": str(LEASE_SECONDS), "TRIPTYCH_LOG_LEVEL": "error"}
    async with opened(_knowledge_base(folder, redis.url, backend), work=False) as kb:
        ready = asyncio.Event()
        killing = asyncio.create_task(_killed_workers(kb, environment, story, ready))
        await ready.wait()
        failing = asyncio.create_task(_failing(redis, outage, story))
        started = time.monotonic()
        try:
            await _hand_in(kb, count, story)
            story.counts["seconds to hand in"] = round(time.monotonic() - started)
            await failing
            async with asyncio.timeout(600):
                while await kb.queue.pending():
                    await asyncio.sleep(0.25)
        finally:
            for task in (killing, failing):
                task.cancel()
            await asyncio.gather(killing, failing, return_exceptions=True)
        story.counts["seconds until all were searchable"] = round(time.monotonic() - started)
        await _look(kb, count, story)
    return story


def _knowledge_base(folder: Path, redis_url: str, backend: dict[str, str]) -> KnowledgeBase:
    common = CommonSettings(data_dir=folder, redis_url=redis_url)
    given = {name.removeprefix("KB_").lower(): value for name, value in backend.items()}
    return build_knowledge_base(common, KnowledgeBaseSettings(**given))  # type: ignore[arg-type]


def _engine(kb: KnowledgeBase) -> AsyncEngine:
    assert isinstance(kb.queue, SqlJobQueue)
    return kb.queue._engine


def text_of(number: int, edition: int) -> str:
    return f"Kettle{number} holds edition{edition} of the tea."


async def _hand_in(kb: KnowledgeBase, count: int, story: Delivery) -> None:
    editions = [(number, 1) for number in range(count)]
    for place in range(0, count, GROUP):
        group = editions[place : place + GROUP]
        again = [(number, 2) for number, _ in group if number % 4 == 0]
        for some in (group, again):
            items = [document(f"doc-{number}", text_of(number, edition)) for number, edition in some]
            answers = await kb.library.add_all(items, OPERATOR, new_batch(), operator=True)
            story.problems += [str(answer) for answer in answers if isinstance(answer, Exception)]
        story.counts["updates"] += len(again)


class _Worker:
    """A worker process, and whether it has begun to work."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.is_ready = False
        self.pid = process.pid
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, environment: dict[str, str]) -> "_Worker":
        command = [sys.executable, "-m", "infra.cli", "worker", "knowledge-base"]
        running = asyncio.create_subprocess_exec(
            *command, env=environment, cwd=ROOT, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
        )
        return cls(await running)

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.is_ready = self.is_ready or b"ready" in line

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reading


async def _killed_workers(
    kb: KnowledgeBase, environment: dict[str, str], story: Delivery, ready: asyncio.Event
) -> None:
    """One every two seconds, by turns one that has jobs under way and any that is at work; a new one comes for it."""
    workers = [await _Worker.start(environment) for _ in range(WORKERS)]
    chance = random.Random(1)  # noqa: S311 - not a secret
    try:
        while sum(worker.is_ready for worker in workers) < 2:
            await asyncio.sleep(0.1)
        ready.set()
        while (killed := story.counts["workers killed with -9"]) < MAX_KILLS:
            await asyncio.sleep(KILL_SECONDS)
            at_work = [worker for worker in workers if worker.is_ready]
            victims = await _with_jobs(kb, at_work) if killed % 2 == 0 else at_work
            if victims:
                victim = chance.choice(victims)
                workers.remove(victim)
                await victim.kill()
                story.counts["workers killed with -9"] += 1
                workers.append(await _Worker.start(environment))
        await asyncio.Event().wait()
    finally:
        await asyncio.gather(*(worker.kill() for worker in workers))


async def _with_jobs(kb: KnowledgeBase, workers: Sequence[_Worker]) -> list[_Worker]:
    """Those that have jobs under way; it looks for one for a second."""
    for _ in range(50):
        async with _engine(kb).connect() as connection:
            rows = await connection.execute(select(jobs.c.worker).where(jobs.c.state == "running").distinct())
            names = {str(name).rpartition("-")[2] for (name,) in rows}
        if found := [worker for worker in workers if str(worker.pid) in names]:
            return found
        await asyncio.sleep(0.02)
    return []


async def _failing(redis: Restartable, outage: Outage | None, story: Delivery) -> None:
    """Redis goes away with all that it had, and comes back; then the index does."""
    await asyncio.sleep(8)
    redis.stop()
    await asyncio.sleep(2)
    redis.start()
    story.counts["Redis emptied and restarted"] += 1
    if outage is not None:
        await outage()
        story.counts["outages of the index"] += 1


async def _look(kb: KnowledgeBase, count: int, story: Delivery) -> None:
    """Each document is found once, in its last version, with its whole text."""
    turn = asyncio.Semaphore(8)

    async def look(number: int) -> None:
        async with turn:
            edition = 2 if number % 4 == 0 else 1
            hits = await kb.index.search_text(f"kettle{number}", Restriction(OPERATOR), 10)
            found = [hit for hit in hits if hit.document_id == f"doc-{number}"]
            whole = await kb.library.fetch(f"doc-{number}", OPERATOR)
            right = [(hit.version, hit.text) for hit in found] == [(edition, text_of(number, edition))]
            story.counts["searchable exactly once in the last version"] += right
            if not right or whole.version.version != edition or whole.text != text_of(number, edition):
                story.problems.append(f"doc-{number}: {[(hit.version, hit.text) for hit in found]}")

    await asyncio.gather(*(look(number) for number in range(count)))
    # Not of the port: what the workers went through, as the table of jobs tells it.
    async with _engine(kb).connect() as connection:
        sums = select(func.sum(jobs.c.attempt), func.sum(jobs.c.lost), func.sum(jobs.c.failures))
        names = ("claims", "taken over from a dead worker", "failed tries")
        story.counts.update(dict(zip(names, (await connection.execute(sums)).one(), strict=True)))
    story.counts["dead letters"] = (await kb.queue.depth()).dead
