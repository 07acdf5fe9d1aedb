"""Writes whose answer is lost, or cannot be read back: a repetition looks first, and does nothing twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.cache.cache import Cache
from common.databases import create_engine, sqlite_url
from common.databases.replicas import Replicated
from common.errors import AppError, Conflict, RateLimited, Unavailable
from common.http.upstream import UpstreamMetrics
from common.settings import load_settings
from infra.crm.seed.world import make_world
from support_hub.adapters.platforms import build_crms
from support_hub.adapters.sql_writes import SqlWrites
from support_hub.ports import Contact, Crm, NewTicket, TicketChange
from support_hub.records import Reference
from support_hub.settings import SupportSettings
from support_hub.tickets import Tickets
from tests.support.crm import RunningSuite
from tests.support.hub import environment, person, settings_of
from tests.support_hub.adapters.conftest import KEYS, opened

MIREK = "mirek.dvorak@marlowdairies.example"
TICKETS = {each.platform: each for each in make_world().tickets if each.status == "open"}
Process = Callable[[str], AbstractAsyncContextManager[tuple[Tickets, Crm]]]


@pytest.fixture
async def process(crm: RunningSuite, tmp_path: Path) -> AsyncIterator[Process]:
    """A process that begins: it knows nothing of the platform, and what was written by those before it."""
    async with opened(Replicated(create_engine(sqlite_url(tmp_path / "support.db")))) as database:

        @asynccontextmanager
        async def begun(name: str) -> AsyncIterator[tuple[Tickets, Crm]]:
            with environment({**settings_of(crm, name), "SUPPORT_SOURCE_SECONDS": "10"}):
                [platform] = build_crms(load_settings(SupportSettings), UpstreamMetrics())
            try:
                yield Tickets([platform], SqlWrites(database.primary, KEYS), Cache()), platform
            finally:
                await platform.close()

        yield begun


async def day(crm: RunningSuite, requests: int) -> None:
    """So many requests are left of Salesforce's day."""
    await asyncio.to_thread(crm.control, "salesforce", "limits", {"daily": {"requests": requests, "seconds": 86_400}})


async def test_a_comment_that_cannot_be_read_back_is_said_once(crm: RunningSuite, process: Process) -> None:
    case = Reference("salesforce", TICKETS["salesforce"].record_id)
    await day(crm, 5)  # the conversation and the check take two each, and the comment the last
    for _ in range(2):
        async with process("salesforce") as (tickets, _platform):
            said = await tickets.comment(person(), case, "Your refund is on its way.", True, "key-0001")
            assert said.text == "Your refund is on its way." and said.public
        await day(crm, 1000)
    async with process("salesforce") as (_tickets, platform):
        said_there = (await platform.conversation(case.id)).comments
    assert [each.text for each in said_there].count("Your refund is on its way.") == 1


@pytest.mark.parametrize("status", ["pending", "solved"])
async def test_a_change_that_cannot_be_read_back_is_looked_for(
    crm: RunningSuite, process: Process, status: Any
) -> None:
    case, change = Reference("salesforce", TICKETS["salesforce"].record_id), TicketChange(status=status)
    async with process("salesforce") as (_tickets, platform):
        seen = (await platform.conversation(case.id)).ticket.updated_at

    async def update() -> str:
        async with process("salesforce") as (tickets, _platform):
            return (await tickets.update(person(), case, change, seen, "key-0002")).status

    await day(crm, 3)  # the check takes two, and the change the last
    with pytest.raises(Unavailable, match="has taken the change"):
        await update()
    await day(crm, 0)
    with pytest.raises(RateLimited):
        await update()
    await day(crm, 1000)
    assert await update() in (status, "closed")


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("salesforce", "PATCH", "/services/data/*/sobjects/Case/*"),
        ("hubspot", "POST", "/crm/v3/objects/tickets"),
        ("zendesk", "POST", "/api/v2/tickets"),
    ],
)
async def test_a_creation_whose_answer_is_lost_makes_one_ticket(
    crm: RunningSuite, process: Process, name: str, method: str, path: str
) -> None:
    lost = {"kind": "broken_json", "count": 1, "method": method, "path": path}
    await asyncio.to_thread(crm.control, name, "faults", [lost, {"kind": "late_search", "seconds": 600}])
    new = NewTicket("key-0003", MIREK, "Lost", "Since Monday")
    async with process(name) as (tickets, platform):
        before = await platform.tickets_of(await platform.find_people(Contact(email=MIREK)), 100)
        with pytest.raises(Unavailable):
            await tickets.create(person(), name, new)
        with pytest.raises(Conflict, match="another change"):
            await tickets.create(person(), name, NewTicket(new.key, MIREK, "Other", "Text"))
        made = await tickets.create(person(), name, new)
        after = await platform.tickets_of(await platform.find_people(Contact(email=MIREK)), 100)
    assert {each.reference for each in after} - {each.reference for each in before} == {made.reference}
    assert len(after) == len(before) + 1 and made.subject == "Lost" and made.requester == MIREK


async def test_what_was_refused_may_be_corrected_under_the_same_key(crm: RunningSuite, process: Process) -> None:
    ticket = Reference("zendesk", TICKETS["zendesk"].record_id)
    async with process("zendesk") as (tickets, platform):
        seen = (await platform.conversation(ticket.id)).ticket.updated_at
        for wrong in (datetime(2026, 1, 1, tzinfo=UTC), seen - timedelta(seconds=1)):
            with pytest.raises(AppError, match="Somebody changed"):
                await tickets.update(person(), ticket, TicketChange(priority="urgent"), wrong, "key-0004")
        assert (await tickets.update(person(), ticket, TicketChange(priority="urgent"), seen, "key-0004")).priority


async def test_what_somebody_else_did_before_is_a_conflict_and_not_our_change(
    crm: RunningSuite, process: Process
) -> None:
    ticket, urgent = Reference("hubspot", TICKETS["hubspot"].record_id), TicketChange(priority="urgent")
    async with process("hubspot") as (tickets, platform):
        seen = (await platform.conversation(ticket.id)).ticket.updated_at
        theirs = await platform.update_ticket(ticket.id, urgent, seen)
        while datetime.now(UTC).replace(microsecond=0) <= theirs.updated_at:
            await asyncio.sleep(0.02)
        with pytest.raises(Conflict, match="Somebody changed"):
            await tickets.update(person(), ticket, urgent, seen, "key-0005")


async def test_a_note_for_colleagues_is_no_answer_to_the_customer(crm: RunningSuite, process: Process) -> None:
    ticket = Reference("zendesk", TICKETS["zendesk"].record_id)
    async with process("zendesk") as (tickets, platform):
        seen = (await platform.conversation(ticket.id)).ticket.updated_at
        await platform.add_comment(ticket.id, "Done.", False, seen)
        add, fails = platform.add_comment, [Conflict("Somebody changed this first.")]

        async def once(*given: Any) -> Any:
            if fails:
                raise fails.pop()
            return await add(*given)

        platform.add_comment = once  # type: ignore[assignment, method-assign]
        assert (await tickets.comment(person(), ticket, "Done.", True, "key-0006")).public
        said = (await platform.conversation(ticket.id)).comments
    assert [each.public for each in said if each.text == "Done."] == [False, True]
