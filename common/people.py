"""Invented people with keys of their own, for demos and evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.security.api_keys import ApiKeyStore
from common.settings import Classification

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


def create_keys(store: ApiKeyStore, people: Sequence[Person]) -> dict[str, str]:
    """A key for each person, valid for a day; their earlier keys end."""
    names = {person.name for person in people}
    for key in store.all():
        if key.owner in names and key.state == "active":
            store.revoke(key.id)
    return {
        person.name: store.create(
            person.name, person.tenant, list(person.roles), list(person.groups), person.clearance, DAYS
        )[1]
        for person in people
    }
