"""Messages that are forged, old or sent again; and that each check is what stops one of them."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from common.security.nonces import LocalNonces
from infra.crm.platform import Delivery
from infra.crm.salesforce.auth import ORGANIZATION
from infra.crm.zendesk.webhooks import sign
from support_hub.adapters import webhook_readers
from tests.support.crm import RunningSuite
from tests.support.hub import URL, Served, ask, person, served, settings_of
from tests.support_hub.test_webhooks import MIREK, WORLD, post, zendesk

TICKET = next(t for t in WORLD.tickets if t.platform == "zendesk" and t.listing.email == MIREK)
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
MESSAGE = f"""<x><notifications xmlns="{OUTBOUND}"><OrganizationId>{ORGANIZATION}</OrganizationId><Notification>
<Id>1</Id><sObject><Id>500000000000001</Id></sObject></Notification></notifications></x>"""
Attack = Callable[[RunningSuite, Served], Awaitable[None]]


@pytest.fixture
async def hub(crm: RunningSuite, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, settings_of(crm), sign_in_failures_per_minute=100) as running:
        yield running


async def forged_for_zendesk(crm: RunningSuite, hub: Served) -> None:
    assert await post(hub, "zendesk", zendesk(crm, time.time(), "a secret of somebody else")) == 401


async def forged_for_hubspot(crm: RunningSuite, hub: Served) -> None:
    body = json.dumps([{"subscriptionType": "contact.propertyChange", "objectId": 1}]).encode()
    stamp = str(int(time.time() * 1000))
    headers = {"X-HubSpot-Request-Timestamp": stamp, "X-HubSpot-Signature-v3": "bm90IHNpZ25lZA=="}
    assert await post(hub, "hubspot", Delivery(body, headers)) == 401


async def forged_for_salesforce(crm: RunningSuite, hub: Served) -> None:
    async with hub.asgi.http_client() as http:
        answer = await http.post(f"{URL}/webhooks/salesforce?token=guessed", content=MESSAGE.encode())
    assert answer.status_code == 401


async def recorded_an_hour_ago(crm: RunningSuite, hub: Served) -> None:
    assert await post(hub, "zendesk", zendesk(crm, time.time() - 3600)) == 401


async def sent_again(crm: RunningSuite, hub: Served) -> None:
    """Whoever repeats a genuine message would make the hub ask the platform as often."""
    body = json.dumps({"detail": {"id": TICKET.record_id}}).encode()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    signature = sign(crm.suite.credentials["zendesk"]["webhook_secret"], stamp, body)
    headers = {"X-Zendesk-Webhook-Signature": signature, "X-Zendesk-Webhook-Signature-Timestamp": stamp}
    async with hub.client(person()) as client:

        async def fetched_at() -> str:
            found = await ask(client, "get_customer_360", email=MIREK)
            return str(found["sources"]["zendesk"]["fetched_at"])

        before = await fetched_at()
        assert await post(hub, "zendesk", Delivery(body, headers)) == 200
        after = await fetched_at()
        if after == before:
            pytest.fail("the genuine message did nothing")
        assert await post(hub, "zendesk", Delivery(body, headers)) == 200
        assert await fetched_at() == after


ATTACKS: list[Attack] = [
    forged_for_zendesk,
    forged_for_hubspot,
    forged_for_salesforce,
    recorded_an_hour_ago,
    sent_again,
]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_is_stopped(crm: RunningSuite, hub: Served, attack: Attack) -> None:
    await attack(crm, hub)


# Without one of the checks, one of the attacks gets through: so the attacks test something.


def nothing(*_: Any) -> None:
    return None


async def always_first(*_: Any) -> bool:
    return True


MUTATIONS: dict[str, tuple[Any, str, Any, Attack]] = {
    "signature of Zendesk": (webhook_readers, "check_signature", nothing, forged_for_zendesk),
    "signature of HubSpot": (webhook_readers, "check_signature", nothing, forged_for_hubspot),
    "secret of Salesforce": (webhook_readers, "check_signature", nothing, forged_for_salesforce),
    "age": (webhook_readers, "check_time", nothing, recorded_an_hour_ago),
    "replay": (LocalNonces, "is_first", always_first, sent_again),
}


@pytest.mark.parametrize("name", MUTATIONS)
async def test_without_a_check_an_attack_gets_through(
    crm: RunningSuite, hub: Served, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module, attribute, mutant, attack = MUTATIONS[name]
    monkeypatch.setattr(module, attribute, mutant)
    with pytest.raises(AssertionError):
        await attack(crm, hub)
