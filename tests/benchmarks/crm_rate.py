"""How many requests a second the simulated CRM servers answer: `python -m tests.benchmarks.crm_rate [requests]`.

Server and client share the machine; the client is aiohttp with 16 connections.
"""

import asyncio
import base64
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import aiohttp

CALLERS = 16


def serve(ready: Connection) -> None:
    """The simulators in a process of their own, without limits."""
    from infra.crm.launch import announcement, listening, make_suite
    from infra.crm.limits import Window

    async def run() -> None:
        start = time.process_time()
        suite = make_suite()
        for platform in suite.platforms:
            platform.limits.update({name: Window(10**9, 1) for name in platform.limits})
        async with listening(suite) as simulators:
            ready.send((announcement(suite, simulators, None), time.process_time() - start))
            while await asyncio.to_thread(ready.recv):
                ready.send(time.process_time())

    asyncio.run(run())


async def requests_of(said: dict[str, Any], session: aiohttp.ClientSession) -> dict[str, dict[str, Any]]:
    """What is measured for each platform."""
    known = said["credentials"]
    form = {"grant_type": "client_credentials", **{n: known["salesforce"][n] for n in ("client_id", "client_secret")}}
    async with session.post(f"{said['salesforce']}/services/oauth2/token", data=form) as response:
        token = (await response.json())["access_token"]
    salesforce = {"Authorization": f"Bearer {token}"}
    hubspot = {"Authorization": f"Bearer {known['hubspot']['access_token']}"}
    user = f"{known['zendesk']['email']}/token:{known['zendesk']['api_token']}"
    zendesk = {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
    soql = "SELECT Id, Subject, Contact.Name FROM Case WHERE Status = 'Working' ORDER BY CreatedDate DESC LIMIT 20"
    data, rest = f"{said['salesforce']}/services/data/v66.0", f"{said['zendesk']}/api/v2"
    find = {"filterGroups": [{"filters": [{"propertyName": "hs_pipeline_stage", "operator": "EQ", "value": "3"}]}]}
    contacts, words = f"{said['hubspot']}/crm/v3/objects/contacts", {"query": "type:ticket gateway status<solved"}
    return {
        "Salesforce SOQL": {"method": "GET", "url": f"{data}/query", "params": {"q": soql}, "headers": salesforce},
        "HubSpot list": {"method": "GET", "url": contacts, "headers": hubspot},
        "HubSpot search": {"method": "POST", "url": f"{contacts[:-8]}tickets/search", "json": find, "headers": hubspot},
        "Zendesk ticket": {"method": "GET", "url": f"{rest}/tickets/20100.json", "headers": zendesk},
        "Zendesk search": {"method": "GET", "url": f"{rest}/search.json", "params": words, "headers": zendesk},
    }


async def send(session: aiohttp.ClientSession, request: dict[str, Any], count: int) -> float:
    """Seconds that so many requests took; all of them must succeed."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            async with session.request(**request) as response:
                response.raise_for_status()
                await response.read()

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return time.perf_counter() - start


async def measure(said: dict[str, Any], server: Connection, count: int) -> None:
    """Print both: requests a second, and requests in a second of the server's processor time."""

    def used() -> float:
        server.send(True)
        return float(server.recv())

    async with aiohttp.ClientSession() as session:
        for name, request in (await requests_of(said, session)).items():
            await send(session, request, CALLERS)
            before = used()
            seconds = await send(session, request, count)
            print(f"{name}: {count / seconds:.0f} a second, {count / (used() - before):.0f} a processor second")


def main(count: int) -> None:
    """Start, measure, print, stop."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    said, seconds = here.recv()
    print(f"seed data and servers: {seconds:.2f} s of processor time")
    try:
        asyncio.run(measure(said, here, count))
    finally:
        process.terminate()
        process.join(10)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
