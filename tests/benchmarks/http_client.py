"""Our client against plain aiohttp, and against an upstream that fails."""

import asyncio
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median

import aiohttp
from aiohttp import web

from common.errors import AppError
from common.http.client import Request, ResilientClient
from common.http.upstream import Upstream
from common.resilience.breaker import BreakerLimits
from common.resilience.retry import RetryLimits
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.result import Result, Table, Target

ABOUT = """One small JSON answer from a server in a process of its own, 64 callers over 20 kept connections: **aiohttp**
reads it with a plain session, **resilient** with `ResilientClient` (deadline, rate limit, breaker, retry budget, size
limit, metrics). They take turns every quarter of a second; the ratio is the median of 80 rounds. Then the server fails
30 of 100 requests with 503 and lets 5 of 100 others hang, dealt like cards: of each 200, 60 fail, 7 hang, 133 are
answered. Calls that may be repeated have 10 s each, up to five tries of 0.5 s, and the usual budget of one retry for
two calls. An answer costs 200 / 133 = 1.504 requests at least, so that with 1.5 requests a call at most 99.75 of 100
calls can succeed; five tries fail together in 0.4 of 100. (Were 5 of 100 of *all* requests to hang, it would be 97.5 at
most.)"""

CALLERS, CONNECTIONS = 64, 20
BODY = {"id": 1, "name": "a record of about a hundred bytes", "tags": ["one", "two"], "total": 12.5}
NO_LIMIT = 1e9
DECK = (60, 7, 133)
"""Of 200 requests: 30 of 100 fail, 5 of 100 others hang."""


@dataclass(frozen=True)
class Chaos:
    """What became of the calls."""

    calls: int
    succeeded: int
    tries: float
    slowest: float


def run(run: Run) -> Result:
    """Throughput, then faults."""
    rounds, seconds, calls = (6, 0.25, 500) if run.quick else (80, 0.25, 5000)
    with _server() as url, run.progress("http-client", rounds + 1) as progress:
        pairs = asyncio.run(_in_turn(f"{url}/well", rounds, seconds, progress))
        chaos = asyncio.run(_chaos(f"{url}/ill", calls))
        progress(rounds + 1)
    plain, ours = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    share = median(pair[1] / pair[0] for pair in pairs)
    succeeded = 100 * chaos.succeeded / chaos.calls
    return Result(
        tables=[
            Table(
                title="Calls a second, 64 callers",
                columns=["aiohttp", "resilient", "ratio"],
                rows=[[f"{plain:.0f}", f"{ours:.0f}", f"{share:.2f}"]],
            ),
            Table(
                title="30 % failures and 5 % stalls",
                columns=["calls", "succeeded, %", "requests a call", "slowest, s"],
                rows=[[str(chaos.calls), f"{succeeded:.2f}", f"{chaos.tries:.2f}", f"{chaos.slowest:.1f}"]],
            ),
        ],
        targets=[
            Target(what="throughput over plain aiohttp, 64 callers", measured=share, limit=0.9, at_most=False),
            Target(what="calls that succeed under faults", measured=succeeded, limit=99, unit="%", at_most=False),
            Target(what="requests a call under faults", measured=chaos.tries, limit=1.5),
        ],
    )


async def _in_turn(url: str, rounds: int, seconds: float, progress: Callable[[int], None]) -> list[tuple[float, float]]:
    """Calls a second of both, round for round."""
    upstream = Upstream("well", url, connections=CONNECTIONS, rate=NO_LIMIT, burst=int(NO_LIMIT))
    client, request, pairs = ResilientClient(upstream), Request("GET", "record"), []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def plain() -> None:
            async with session.get(f"{url}/record") as answer:
                await answer.read()

        async def resilient() -> None:
            await client.send(request)

        for call in (plain, resilient):
            await _throughput(call, seconds)
        for number in range(1, rounds + 1):
            both = [plain, resilient]
            random.shuffle(both)
            found = {call: await _throughput(call, seconds) for call in both}
            pairs.append((found[plain], found[resilient]))
            progress(number)
    await client.close()
    return pairs


async def _throughput(call: object, seconds: float) -> float:
    done, ends = 0, time.monotonic() + seconds

    async def caller() -> None:
        nonlocal done
        while time.monotonic() < ends:
            await call()  # type: ignore[operator]
            done += 1

    started = time.monotonic()
    await asyncio.gather(*[caller() for _ in range(CALLERS)])
    return done / (time.monotonic() - started)


async def _chaos(url: str, calls: int) -> Chaos:
    limits = RetryLimits(tries=5, first_wait=0.02)
    client = ResilientClient(
        Upstream(
            "ill",
            url,
            attempt=0.5,
            connections=CALLERS,
            rate=NO_LIMIT,
            burst=int(NO_LIMIT),
            retries=limits,
            breaker=BreakerLimits(window=200, least_calls=100),
        )
    )
    succeeded, slowest, waiting = 0, 0.0, iter(range(calls))

    async def caller() -> None:
        nonlocal succeeded, slowest
        for _ in waiting:
            started = time.monotonic()
            try:
                await client.send(Request("GET", "record"))
                succeeded += 1
            except AppError:
                pass
            slowest = max(slowest, time.monotonic() - started)

    await asyncio.gather(*[caller() for _ in range(CALLERS)])
    async with aiohttp.ClientSession() as session, session.get(f"{url}/seen") as answer:
        seen = int(await answer.text())
    await client.close()
    return Chaos(calls, succeeded, seen / calls, slowest)


@contextmanager
def _server() -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection) -> None:
    asyncio.run(_listen(pipe))


def _dealt() -> Iterator[str]:
    """What becomes of each request: always the same shares, in no order."""
    dice = random.Random(7)  # noqa: S311 - no secret
    while True:
        yield from dice.sample(["fails", "hangs", "is answered"], sum(DECK), counts=DECK)


async def _listen(pipe: Connection) -> None:
    seen, fates = 0, _dealt()

    async def well(_: web.Request) -> web.Response:
        return web.json_response(BODY)

    async def ill(_: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        fate = next(fates)
        if fate == "hangs":
            await asyncio.sleep(60)
        return web.json_response(BODY, status=503 if fate == "fails" else 200)

    async def count(_: web.Request) -> web.Response:
        return web.Response(text=str(seen))

    app = web.Application()
    app.router.add_get("/well/record", well)
    app.router.add_get("/ill/record", ill)
    app.router.add_get("/ill/seen", count)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    pipe.send(runner.addresses[0][1])
    await asyncio.Event().wait()


BENCHMARK = Benchmark("http-client", "The resilient HTTP client", ABOUT, run)
