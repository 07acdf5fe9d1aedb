"""What the simulated platforms tell, signed by them, and what that does to every process's cache."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.crm.platform import Change, Delivery, Platform
from infra.crm.seed.records import Ticket
from infra.crm.seed.world import make_world
from infra.crm.zendesk.webhooks import sign
from infra.demo.crm import WEBHOOK_TOKEN
from tests.support.crm import RunningSuite
from tests.support.hub import URL, Served, ask, person, served, settings_of

MIREK = "mirek.dvorak@marlowdairies.example"
WORLD = make_world()


@contextmanager
def told(crm: RunningSuite, name: str) -> Iterator[tuple[Platform, list[Change]]]:
    """Changes of a platform while the context lasts."""
    platform = next(each for each in crm.suite.platforms if each.name == name)
    changes: list[Change] = []
    platform.listeners.append(changes.append)
    try:
        yield platform, changes
    finally:
        platform.listeners.remove(changes.append)


async def post(hub: Served, name: str, delivery: Delivery) -> int:
    """Hand a message in; the status."""
    query = f"?token={WEBHOOK_TOKEN}" if name == "salesforce" else ""
    async with hub.asgi.http_client() as http:
        answer = await http.post(f"{URL}/webhooks/{name}{query}", content=delivery.body, headers=delivery.headers)
    return int(answer.status_code)


@pytest.fixture
async def pair(crm: RunningSuite, tmp_path: Path, redis_url: str) -> AsyncIterator[tuple[Served, Served]]:
    """Two processes' worth of servers that share nothing but Redis and the platforms."""
    settings = {**settings_of(crm), "SUPPORT_REDIS_URL": redis_url, "SUPPORT_SOURCE_SECONDS": "8"}
    async with AsyncExitStack() as stack:
        for name in "ab":
            (tmp_path / name).mkdir()
        yield (
            await stack.enter_async_context(served(tmp_path / "a", settings)),
            await stack.enter_async_context(served(tmp_path / "b", settings)),
        )


def open_ticket(name: str) -> Ticket:
    """One that can be changed, of somebody with an address."""
    return next(t for t in WORLD.tickets if t.platform == name and t.status == "open" and t.listing.email)


def change(crm: RunningSuite, name: str, ticket: Ticket, subject: str) -> None:
    """Change the subject of a ticket behind the hub's back."""
    url, given = crm.urls[name], crm.suite.credentials[name]
    if name == "zendesk":
        body = {"ticket": {"subject": subject}}
        answer = requests.put(
            f"{url}/api/v2/tickets/{ticket.record_id}",
            json=body,
            auth=(f"{given['email']}/token", given["api_token"]),
            timeout=10,
        )
    elif name == "hubspot":
        target = f"{url}/crm/v3/objects/tickets/{ticket.record_id}"
        headers = {"Authorization": f"Bearer {given['access_token']}"}
        answer = requests.patch(target, json={"properties": {"subject": subject}}, headers=headers, timeout=10)
    else:
        form = {"grant_type": "client_credentials", **{k: given[k] for k in ("client_id", "client_secret")}}
        token = requests.post(f"{url}/services/oauth2/token", data=form, timeout=10).json()["access_token"]
        target = f"{url}/services/data/v62.0/sobjects/Case/{ticket.record_id}"
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.patch(target, json={"Subject": subject}, headers=headers, timeout=10)
    answer.raise_for_status()


def subjects(found: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: each["subject"] for each in found["tickets"]}


@pytest.mark.parametrize("name", ["salesforce", "hubspot", "zendesk"])
async def test_a_change_is_in_the_next_answer_of_every_process(
    pair: tuple[Served, Served], crm: RunningSuite, name: str
) -> None:
    (one, other), ticket = pair, open_ticket(name)
    email = ticket.listing.email
    async with one.client(person()) as first, other.client(person()) as second:
        await ask(first, "get_customer_360", email=email)
        with told(crm, name) as (platform, changes):
            subject = f"Changed at {time.time_ns()}"
            await asyncio.to_thread(change, crm, name, ticket, subject)
        assert subjects(await ask(second, "get_customer_360", email=email))[ticket.key] != subject, "it was not cached"
        [delivery] = platform.deliveries(changes[-1], f"{URL}/webhooks/{name}")
        assert await post(one, name, delivery) == 200
        started = time.monotonic()
        # The other process hears of it through Redis, a moment after the platform got its answer.
        while subjects(await ask(second, "get_customer_360", email=email))[ticket.key] != subject:
            assert time.monotonic() - started < 10
        assert subjects(await ask(first, "get_customer_360", email=email))[ticket.key] == subject


def zendesk(crm: RunningSuite, sent: float, secret: str | None = None) -> Delivery:
    """A message that says nothing new."""
    body = json.dumps({"detail": {"id": "20001"}, "type": "zen:event-type:ticket.status_changed"}).encode()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(sent))
    signature = sign(secret or crm.suite.credentials["zendesk"]["webhook_secret"], stamp, body)
    headers = {"X-Zendesk-Webhook-Signature": signature, "X-Zendesk-Webhook-Signature-Timestamp": stamp}
    return Delivery(body, headers)


async def test_what_is_not_genuine_is_refused(crm: RunningSuite, tmp_path: Path) -> None:
    async with served(tmp_path, settings_of(crm), sign_in_failures_per_minute=100) as hub:
        good = zendesk(crm, time.time())
        assert await post(hub, "zendesk", good) == 200
        assert await post(hub, "zendesk", good) == 200, "the same message again is acknowledged"
        assert await post(hub, "zendesk", zendesk(crm, time.time() - 3600)) == 401
        assert await post(hub, "zendesk", zendesk(crm, time.time(), "another secret")) == 401
        assert await post(hub, "zendesk", Delivery(good.body + b" ", good.headers)) == 401
        assert await post(hub, "zendesk", Delivery(good.body, {})) == 401
        assert await post(hub, "nobody", good) == 404
        assert await post(hub, "zendesk", Delivery(b"x" * 300_000, good.headers)) == 413
        for name in ("hubspot", "salesforce"):
            with told(crm, "hubspot"):
                assert await post(hub, name, good) in (400, 401)
        async with hub.asgi.http_client() as http:
            answer = await http.post(f"{URL}/webhooks/salesforce?token=wrong", content=b"<x/>")
            assert answer.status_code == 401
            bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'
            answer = await http.post(f"{URL}/webhooks/salesforce?token={WEBHOOK_TOKEN}", content=bomb)
            assert answer.status_code == 400


async def test_a_repeated_message_does_nothing(crm: RunningSuite, tmp_path: Path) -> None:
    ticket = next(t for t in WORLD.tickets if t.platform == "zendesk" and t.listing.email == MIREK)
    async with served(tmp_path, settings_of(crm, "zendesk")) as hub, AsyncExitStack() as stack:
        client = await stack.enter_async_context(hub.client(person()))
        body = json.dumps({"detail": {"id": ticket.record_id}}).encode()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        signature = sign(crm.suite.credentials["zendesk"]["webhook_secret"], stamp, body)
        headers = {"X-Zendesk-Webhook-Signature": signature, "X-Zendesk-Webhook-Signature-Timestamp": stamp}

        async def fetched() -> str:
            found = await ask(client, "get_customer_360", email=MIREK)
            return str(found["sources"]["zendesk"]["fetched_at"])

        before = await fetched()
        assert await post(hub, "zendesk", Delivery(body, headers)) == 200
        after = await fetched()
        assert after != before
        assert await post(hub, "zendesk", Delivery(body, headers)) == 200
        assert await fetched() == after
