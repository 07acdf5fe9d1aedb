"""Invented people with keys of their own, for demos and evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.security.api_key_stores import opened_api_keys
from common.settings import Classification, CommonSettings

DAYS = 1.0


@dataclass(frozen=True)
class Person:
    """Somebody who asks questions."""

    name: str
    about: str
    tenant: str
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    clearance: Classification


async def create_keys(settings: CommonSettings, people: Sequence[Person]) -> dict[str, str]:
    """A key for each person, valid for a day; their earlier keys end."""
    names, tokens = {person.name for person in people}, {}
    async with opened_api_keys(settings) as keys:
        for key in await keys.all():
            if key.owner in names and key.state == "active":
                await keys.revoke(key.id)
        for who in people:
            rights = (list(who.roles), list(who.groups), who.clearance)
            _, tokens[who.name] = await keys.create(who.name, who.tenant, *rights, days=DAYS)
    return tokens
