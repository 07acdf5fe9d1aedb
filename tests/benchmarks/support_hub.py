"""What a customer out of all systems costs: cold, warm, and while a platform hangs."""

import asyncio
import logging
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import requests
import structlog
from fastmcp import Client

from common.server import publish_schemas
from common.settings import CommonSettings, load_settings
from infra.crm.seed.world import make_world
from infra.seed.support import load_support
from support_hub.answers import customer_360
from support_hub.bootstrap import SupportHub, build_support_hub, opened
from support_hub.ports import Contact
from support_hub.server import build
from support_hub.settings import SupportSettings
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.cache import valkey
from tests.benchmarks.result import Result, Table, Target, percentile
from tests.support.crm import RunningSuite, running_suite
from tests.support.hub import ask, environment, settings_of
from tests.support.hub_process import hub_process
from tests.support_hub.test_webhooks import change, subjects, told

ABOUT = """Three simulated platforms in a thread beside, their limits lifted, orders and profiles in SQLite. **cold**:
nobody asked for this customer before; counted is what the hub takes beyond its slowest source. **warm**: the same
customer again, over MCP in one process, against a tool that does nothing on the same server (CPU time of client and
server). **hanging**: Zendesk does not answer. **load**: one process is asked for 10,000 customers, the n-th best known
n times as seldom (Zipf). **webhook**: two server processes that share a Valkey; from the moment that one of them is
handed Zendesk's message until the other one's answer has the change, which it reads anew from Zendesk."""
LATENCY = 0.05
SECONDS = 1.0
ZIPF_CALLERS = 8
PLENTY = 1000
"""Requests a second: what is measured is the hub, not how long it waits for its turn."""


def run(run: Run) -> Result:
    """Everything in one process, so that the differences mean something."""
    cold_calls, warm_calls = (10, 60) if run.quick else (60, 400)
    zipf_calls, changes = (300, 5) if run.quick else (10_000, 100)
    with running_suite() as crm, tempfile.TemporaryDirectory() as folder, run.progress("support hub", 5) as progress:
        # That the breaker of a platform opens which is made to hang is no news.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        settings = {**settings_of(crm), **_unlimited(crm), "SUPPORT_SOURCE_SECONDS": str(SECONDS)}
        common = CommonSettings(data_dir=Path(folder), rate_limit_per_second=10_000, rate_limit_burst=10_000)
        with environment(settings):
            asyncio.run(load_support(common))
            over = asyncio.run(_cold(crm, common, cold_calls))
            progress(1)
            trivial, warm = asyncio.run(_warm(crm, common, warm_calls))
            progress(2)
            hanging, opened_breaker = asyncio.run(_hanging(crm, common))
            progress(3)
            rate, spread = asyncio.run(_zipf(crm, common, zipf_calls))
            progress(4)
        delays = asyncio.run(_webhooks(crm, Path(folder), changes))
        progress(5)
    extra = (median(warm) - median(trivial)) * 1000
    rows = [
        ["cold: beyond the slowest source, p50", f"{median(over) * 1000:.1f}"],
        ["cold: the same, p95", f"{percentile(over, 0.95) * 1000:.1f}"],
        ["a tool that does nothing, p50", f"{median(trivial) * 1000:.2f}"],
        ["warm, p50", f"{median(warm) * 1000:.2f}"],
        [f"Zendesk hangs, deadline {SECONDS:.0f} s", f"{hanging * 1000:.0f}"],
        ["the same while its breaker is open, p50", f"{opened_breaker * 1000:.1f}"],
        [f"webhook, p50 of {changes}", f"{median(delays) * 1000:.1f}"],
        ["webhook, p95", f"{percentile(delays, 0.95) * 1000:.1f}"],
    ]
    load = [[f"{zipf_calls:,}", f"{spread:,}", f"{rate:.1f}"]]
    return Result(
        tables=[
            Table(title="Time, ms", columns=["what", "ms"], rows=rows),
            Table(title="Zipf load", columns=["calls", "customers", "hit rate, %"], rows=load),
        ],
        targets=[
            Target(what="cold, beyond the slowest source, p50", measured=median(over) * 1000, limit=20, unit="ms"),
            Target(what="warm, beyond a tool that does nothing, p50", measured=extra, limit=2, unit="ms"),
            Target(what="while a breaker is open", measured=opened_breaker * 1000, limit=50, unit="ms"),
            Target(what="hit rate of a Zipf load", measured=rate, limit=80, unit="%", at_most=False),
            Target(
                what="a webhook's change in the other process's answer, p95",
                measured=percentile(delays, 0.95) * 1000,
                limit=100,
                unit="ms",
            ),
        ],
    )


def _unlimited(crm: RunningSuite) -> dict[str, str]:
    """Lifts the platforms' limits; the settings that lift the hub's."""
    for name, limits in crm.limits.items():
        crm.control(name, "limits", {each: {"requests": PLENTY * 60, "seconds": 60} for each in limits})
    return {f"SUPPORT_{name.upper()}_PER_SECOND": str(PLENTY) for name in crm.limits}


def _emails() -> Sequence[str]:
    """Customers that all three platforms know under one address."""
    known: dict[str, set[str]] = {}
    for listing in make_world().listings:
        known.setdefault(listing.email, set()).add(listing.platform)
    return [email for email, platforms in known.items() if email and len(platforms) == 3]


def _faults(crm: RunningSuite, faults: list[dict[str, Any]], *names: str) -> None:
    for name in names or crm.urls:
        requests.put(f"{crm.urls[name]}/__control/faults", json=faults, timeout=10).raise_for_status()


def _hub(common: CommonSettings) -> SupportHub:
    return build_support_hub(common, load_settings(SupportSettings))


async def _cold(crm: RunningSuite, common: CommonSettings, calls: int) -> list[float]:
    """Seconds beyond the slowest source, for customers that were not asked for."""
    await asyncio.to_thread(_faults, crm, [{"kind": "latency", "seconds": LATENCY}])
    over = []
    async with opened(_hub(common)) as hub:
        first, *emails = _emails()
        await hub.customers.get(Contact(email=first))
        for email in emails[:calls]:
            started = time.perf_counter()
            customer = await hub.customers.get(Contact(email=email))
            customer_360(customer)
            took = time.perf_counter() - started
            over.append(took - max(source.seconds for source in customer.sources.values()))
    await asyncio.to_thread(_faults, crm, [])
    return over


async def _warm(crm: RunningSuite, common: CommonSettings, calls: int) -> tuple[list[float], list[float]]:
    """CPU seconds of a tool that does nothing, and of a known customer, in turn: others use this machine, too."""
    built = build(common, "http://127.0.0.1:8003", stdio=True)

    # Policy knows the tools by name, so that one of them has to make room.
    built.server.local_provider.remove_tool("get_product")

    @built.server.tool(name="get_product")  # type: ignore[untyped-decorator]
    async def nothing() -> str:
        return "nothing"

    trivial, warm = list[float](), list[float]()
    email = _emails()[0]
    publish_schemas(built.server, await built.server.list_tools(run_middleware=False))
    async with Client(built.server) as client:
        for turn in range(calls + 10):
            both = [("get_product", {}, trivial), ("get_customer_360", {"email": email}, warm)]
            for tool, arguments, times in both if turn % 2 else reversed(both):
                started = time.process_time()
                answer = await client.call_tool_mcp(tool, arguments)
                assert not answer.is_error
                if turn >= 10:
                    times.append(time.process_time() - started)
    return trivial, warm


async def _hanging(crm: RunningSuite, common: CommonSettings) -> tuple[float, float]:
    """Seconds of the first answer while Zendesk hangs, and of those while its breaker is open."""
    first_email, email, *_ = _emails()
    contact, times = Contact(email=email), list[float]()
    async with opened(_hub(common)) as hub:
        # It is signed in before it begins to hang.
        await hub.customers.get(Contact(email=first_email))
        await asyncio.to_thread(_faults, crm, [{"kind": "hang"}], "zendesk")
        started = time.perf_counter()
        await hub.customers.get(contact)
        first = time.perf_counter() - started
        while len(times) < 20:
            started = time.perf_counter()
            customer = await hub.customers.get(contact)
            if "at the moment" in customer.sources["zendesk"].note:
                times.append(time.perf_counter() - started)
    await asyncio.to_thread(_faults, crm, [])
    return first, median(times)


async def _zipf(crm: RunningSuite, common: CommonSettings, calls: int) -> tuple[float, int]:
    """Percent of look-ups in sources that did not have to wait for one, and how many customers were asked for."""
    emails = sorted({each.email for each in make_world().listings if each.email})
    dice = random.Random(5)  # noqa: S311 - no secret
    dice.shuffle(emails)
    weights = [1 / rank for rank in range(1, len(emails) + 1)]
    asked = dice.choices(emails, weights, k=calls)
    left = iter(asked)
    async with opened(_hub(common)) as hub:

        async def caller() -> None:
            for email in left:
                await hub.customers.get(Contact(email=email))

        await asyncio.gather(*[caller() for _ in range(ZIPF_CALLERS)])
        counts = hub.cache.results.totals()
    hits = sum(counts.get(name, 0) for name in ("memory", "redis", "stale"))
    return 100 * hits / (hits + counts.get("loaded", 0)), len(set(asked))


async def _webhooks(crm: RunningSuite, folder: Path, changes: int) -> list[float]:
    """Seconds from a message to one process until the other one's answer has the change."""
    delays = list[float]()
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        both = list[Client[Any]]()
        urls = list[str]()
        for name in "ab":
            (folder / name).mkdir()
            settings = {**_unlimited(crm), "SUPPORT_REDIS_URL": redis, "TRIPTYCH_LOG_LEVEL": "error"}
            url, key = await stack.enter_async_context(hub_process(crm, folder / name, settings))
            urls.append(url)
            both.append(await stack.enter_async_context(Client(f"{url}/mcp", auth=key)))
        http = await stack.enter_async_context(httpx2.AsyncClient())
        tickets = [
            t for t in make_world().tickets if t.platform == "zendesk" and t.status == "open" and t.listing.email
        ]
        for number in range(changes):
            ticket = tickets[number % len(tickets)]
            asked = {"email": ticket.listing.email}
            for client in both:
                await client.call_tool("get_customer_360", asked)
            subject = f"Changed {number}"
            with told(crm, "zendesk") as (platform, heard):
                await asyncio.to_thread(change, crm, "zendesk", ticket, subject)
            [delivery] = platform.deliveries(heard[-1], f"{urls[0]}/webhooks/zendesk")
            started = time.perf_counter()
            await http.post(f"{urls[0]}/webhooks/zendesk", content=delivery.body, headers=delivery.headers)
            while subjects(await ask(both[1], "get_customer_360", **asked))[ticket.key] != subject:
                await asyncio.sleep(0.001)
            delays.append(time.perf_counter() - started)
    return delays


BENCHMARK = Benchmark("support_hub", "One customer out of all systems", ABOUT, run)
