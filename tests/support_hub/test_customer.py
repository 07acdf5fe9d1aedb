import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from common.errors import Denied, NotFound, Unavailable
from support_hub.customer import Customers, View
from support_hub.fanout import Read, State
from support_hub.ports import Contact
from support_hub.records import Person, Reference

EARLY = datetime(2026, 1, 1, tzinfo=UTC)


def person(source: str, *emails: str) -> Person:
    return Person(Reference(source, "1"), {"name": "Ada"}, frozenset(emails), frozenset(), EARLY)


@dataclass
class Scripted:
    """A source that knows people by address, or fails."""

    name: str
    known: dict[str, View] = field(default_factory=dict)
    error: Exception | None = None
    wait: float = 0.0
    stale: bool = False
    asked: list[str] = field(default_factory=list)

    async def view(self, contact: Contact) -> Read[View]:
        self.asked.append(contact.email)
        await asyncio.sleep(self.wait)
        if self.error:
            raise self.error
        return Read(self.known.get(contact.email, View()), 1.0, self.stale)


def customers(*sources: Any) -> Customers:
    return Customers(sources, {}, seconds=0.2)


@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        ({"wait": 5.0}, "timeout"),
        ({"error": Unavailable("down")}, "error"),
        ({"error": NotFound("nobody")}, "not_found"),
        ({"error": Denied("no")}, "forbidden"),
        ({"error": ZeroDivisionError()}, "error"),
        ({"stale": True, "known": {"a@x": View((person("hubspot", "a@x"),))}}, "stale"),
    ],
)
async def test_one_source_in_trouble_leaves_the_others(trouble: dict[str, Any], state: State) -> None:
    well = Scripted("zendesk", {"a@x": View((person("zendesk", "a@x"),))})
    customer = await customers(well, Scripted("hubspot", **trouble)).get(Contact(email="a@x"))
    assert customer.sources["zendesk"].state == "ok"
    assert customer.sources["hubspot"].state == state
    assert customer.complete is (state in ("not_found", "stale"))
    assert "zendesk:1" in {str(each.reference) for each in customer.people}


async def test_a_failure_tells_nothing_of_the_inside() -> None:
    customer = await customers(Scripted("hubspot", error=ValueError("password=1"))).get(Contact(email="a@x"))
    assert "password" not in customer.sources["hubspot"].note


async def test_addresses_that_one_source_knows_help_the_others() -> None:
    zendesk = Scripted("zendesk", {"a@x": View((person("zendesk", "a@x", "ada@y"),))})
    hubspot = Scripted("hubspot", {"ada@y": View((person("hubspot", "ada@y"),))})
    customer = await customers(zendesk, hubspot).get(Contact(email="a@x"))
    assert {str(each.reference) for each in customer.people} == {"zendesk:1", "hubspot:1"}
    assert (zendesk.asked, hubspot.asked) == (["a@x"], ["a@x", "ada@y"])


async def test_a_cancelled_call_is_cancelled() -> None:
    call = asyncio.ensure_future(customers(Scripted("hubspot", wait=5)).get(Contact(email="a@x")))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
