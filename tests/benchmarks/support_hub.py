"""What a customer out of all systems costs: cold, warm, and while a platform hangs."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import requests
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
from tests.benchmarks.result import Result, Table, Target, percentile
from tests.support.crm import RunningSuite, running_suite
from tests.support.hub import environment, settings_of

ABOUT = """Three simulated platforms in a thread beside, orders and profiles in SQLite. **cold**: nobody asked for this
customer before; counted is what the hub takes beyond its slowest source. **warm**: the same customer again, over MCP in
one process, against a tool that does nothing on the same server (CPU time of client and server). **hanging**: Zendesk
does not answer."""
LATENCY = 0.05
SECONDS = 1.0


def run(run: Run) -> Result:
    """Everything in one process, so that the differences mean something."""
    cold_calls, warm_calls = (10, 60) if run.quick else (60, 400)
    with running_suite() as crm, tempfile.TemporaryDirectory() as folder, run.progress("support hub", 3) as progress:
        settings = {**settings_of(crm), "SUPPORT_SOURCE_SECONDS": str(SECONDS)}
        common = CommonSettings(data_dir=Path(folder), rate_limit_per_second=10_000, rate_limit_burst=10_000)
        with environment(settings):
            asyncio.run(load_support(common))
            over = asyncio.run(_cold(crm, common, cold_calls))
            progress(1)
            trivial, warm = asyncio.run(_warm(crm, common, warm_calls))
            progress(2)
            hanging, opened_breaker = asyncio.run(_hanging(crm, common))
            progress(3)
    extra = (median(warm) - median(trivial)) * 1000
    rows = [
        ["cold: beyond the slowest source, p50", f"{median(over) * 1000:.1f}"],
        ["cold: the same, p95", f"{percentile(over, 0.95) * 1000:.1f}"],
        ["a tool that does nothing, p50", f"{median(trivial) * 1000:.2f}"],
        ["warm, p50", f"{median(warm) * 1000:.2f}"],
        [f"Zendesk hangs, deadline {SECONDS:.0f} s", f"{hanging * 1000:.0f}"],
        ["the same while its breaker is open, p50", f"{opened_breaker * 1000:.1f}"],
    ]
    return Result(
        tables=[Table(title="Time, ms", columns=["what", "ms"], rows=rows)],
        targets=[
            Target(what="cold, beyond the slowest source, p50", measured=median(over) * 1000, limit=20, unit="ms"),
            Target(what="warm, beyond a tool that does nothing, p50", measured=extra, limit=2, unit="ms"),
            Target(what="while a breaker is open", measured=opened_breaker * 1000, limit=50, unit="ms"),
        ],
    )


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
    await asyncio.to_thread(_faults, crm, [{"kind": "hang"}], "zendesk")
    contact, times = Contact(email=_emails()[0]), list[float]()
    async with opened(_hub(common)) as hub:
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


BENCHMARK = Benchmark("support_hub", "One customer out of all systems", ABOUT, run)
