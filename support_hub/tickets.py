"""Reads and writes single tickets. Each write has a key of the caller, by which a repetition does nothing twice."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from common.cache.cache import Cache
from common.errors import AppError, Conflict, Denied, InvalidInput, NotFound
from common.security.principal import Principal
from support_hub.ports import Crm, NewTicket, TicketChange, Writes
from support_hub.records import Comment, Conversation, Reference, Ticket
from support_hub.sources import email_tag, record_tag

BUSY_SECONDS = 60.0
"""As long as a call may take at most."""
SKEW = timedelta(seconds=60)
"""Between the platforms' clocks and ours."""
TRIES = 3
REFUSALS = (InvalidInput, NotFound, Denied, Conflict)
"""After any other failure a write may have been done all the same."""
TICKET, COMMENT = TypeAdapter(Ticket), TypeAdapter(Comment)
Do = Callable[[], Awaitable[dict[str, Any]]]
Look = Callable[[datetime], Awaitable[dict[str, Any] | None]]


class Tickets:
    """Single tickets of all platforms."""

    def __init__(self, crms: Sequence[Crm], writes: Writes, cache: Cache) -> None:
        self._crms = {crm.name: crm for crm in crms}
        self._writes = writes
        self._cache = cache

    async def get(self, reference: Reference) -> Conversation:
        """The ticket with its messages. Raises NotFound."""
        return await self._crm(reference.source).conversation(reference.id)

    async def create(self, who: Principal, source: str, new: NewTicket) -> Ticket:
        """Make one, once for each key."""
        crm, name = self._crm(source), _name(who, new.key)
        made = replace(new, key=name)

        async def do() -> dict[str, Any]:
            return _dump(TICKET, await crm.create_ticket(made))

        # The platforms themselves know a repetition by the key.
        result = await self._once(name, ["create", source, asdict(made)], do, None)
        ticket = TICKET.validate_python(result)
        await self._cache.invalidate_tags(email_tag(new.requester))
        return ticket

    async def comment(self, who: Principal, reference: Reference, text: str, public: bool, key: str) -> Comment:
        """Say something, once for each key. Raises NotFound, Conflict."""
        crm = self._crm(reference.source)

        async def look(since: datetime) -> dict[str, Any] | None:
            said = (await crm.conversation(reference.id)).comments
            mine = [each for each in said if each.public == public and each.text.split() == text.split()]
            return _dump(COMMENT, mine[-1]) if mine and mine[-1].at >= since - SKEW else None

        async def say() -> dict[str, Any]:
            seen = (await crm.conversation(reference.id)).ticket.updated_at
            return _dump(COMMENT, await crm.add_comment(reference.id, text, public, seen))

        async def do() -> dict[str, Any]:
            for _ in range(TRIES - 1):
                with suppress(Conflict):
                    return await _or_done(say, look)
            return await _or_done(say, look)

        result = await self._once(_name(who, key), ["comment", str(reference), text, public], do, look)
        await self._cache.invalidate_tags(record_tag(reference))
        return COMMENT.validate_python(result)

    async def update(
        self, who: Principal, reference: Reference, change: TicketChange, seen: datetime, key: str
    ) -> Ticket:
        """Change it, unless somebody changed it after `seen`. Raises NotFound, Conflict."""
        crm, wanted = self._crm(reference.source), {k: v for k, v in asdict(change).items() if v is not None}
        if not wanted:
            raise InvalidInput("There is nothing to change.", "Give status, priority or subject.")

        async def look(since: datetime) -> dict[str, Any] | None:
            ticket = (await crm.conversation(reference.id)).ticket
            is_so = ticket.updated_at >= since - SKEW and all(_is(ticket, *each) for each in wanted.items())
            return _dump(TICKET, ticket) if is_so else None

        async def change_it() -> dict[str, Any]:
            return _dump(TICKET, await crm.update_ticket(reference.id, change, seen))

        async def look_now(began: datetime) -> dict[str, Any] | None:
            # What somebody else did shortly before must not pass for ours; platforms may count in seconds.
            return await look(began.replace(microsecond=0) + SKEW)

        async def do() -> dict[str, Any]:
            return await _or_done(change_it, look_now)

        result = await self._once(_name(who, key), ["update", str(reference), wanted, seen.isoformat()], do, look)
        await self._cache.invalidate_tags(record_tag(reference))
        return TICKET.validate_python(result)

    async def _once(self, name: str, asked: Any, do: Do, look: Look | None) -> Any:
        digest = _hash(asked)
        begun = await self._writes.begin(name, digest, datetime.now(UTC) + timedelta(seconds=BUSY_SECONDS))
        if begun.digest != digest:
            raise Conflict("This key was used for another change.", "Give a new key for a new change.")
        if begun.result is not None:
            return begun.result
        if not begun.is_mine:
            raise Conflict("The same change is under way.", "Repeat it later with the same key.", BUSY_SECONDS)
        done, was_undone = None, begun.is_first
        try:
            if look and not begun.is_first:
                done, was_undone = await look(begun.began_at), True
            result = done or await do()
        except AppError as error:
            is_undone = was_undone and isinstance(error, REFUSALS)
            await (self._writes.forget if is_undone else self._writes.release)(name)
            raise
        await self._writes.finish(name, result)
        return result

    def _crm(self, source: str) -> Crm:
        if source not in self._crms:
            raise NotFound(f"There is no platform {source}.", f"There are: {', '.join(self._crms)}.")
        return self._crms[source]


async def _or_done(write: Do, look: Look) -> dict[str, Any]:
    began = datetime.now(UTC)
    try:
        return await write()
    except Conflict:
        # Somebody else was faster; or it was we, and only the answer was lost.
        if done := await look(began):
            return done
        raise


def _is(ticket: Ticket, field: str, value: str) -> bool:
    """Salesforce and HubSpot know one end: what was solved there is closed."""
    return getattr(ticket, field) in ((value, "closed") if value == "solved" else (value,))


def _name(who: Principal, key: str) -> str:
    return _hash([who.tenant, who.subject, key])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _dump(adapter: TypeAdapter[Any], value: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = adapter.dump_python(value, mode="json")
    return dumped
