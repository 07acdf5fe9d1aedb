"""The people of the demo, and their keys."""

from dataclasses import dataclass

from common.security.api_keys import ApiKeyStore
from common.settings import Classification


@dataclass(frozen=True)
class Person:
    """Somebody who asks questions; invented, as the company is."""

    name: str
    about: str
    tenant: str
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    clearance: Classification


PEOPLE = (
    Person("alice", "platform engineer", "fernhill", ("editor",), ("engineering",), "confidential"),
    Person("hanna", "head of people", "fernhill", ("user",), ("people",), "restricted"),
    Person("pat", "contractor", "fernhill", ("user",), (), "public"),
    Person("mirek", "quality manager of a customer", "marlow", ("user",), (), "internal"),
    Person("dana", "operator of this installation", "fernhill", ("admin",), (), "internal"),
)
DAYS = 1.0


def create_keys(store: ApiKeyStore) -> dict[str, str]:
    """A key for each person, valid for a day; keys of an earlier demo end."""
    names = {person.name for person in PEOPLE}
    for key in store.all():
        if key.owner in names and key.state == "active":
            store.revoke(key.id)
    return {
        person.name: store.create(
            person.name, person.tenant, list(person.roles), list(person.groups), person.clearance, DAYS
        )[1]
        for person in PEOPLE
    }
