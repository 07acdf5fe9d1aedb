"""Finds customers by words, over all platforms; records that share an address are one entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import time

from common.errors import InvalidInput
from support_hub.fanout import Arrived, Read, ask_all
from support_hub.ports import Crm, Page
from support_hub.records import Person

START = ""
"""Where a platform goes on that has not answered yet."""


@dataclass(frozen=True)
class FoundPeople:
    """A page over all platforms: the records of each person, and where each platform goes on."""

    people: list[list[Person]]
    following: dict[str, str] | None
    sources: Mapping[str, Arrived[Page[Person]]]


class PeopleSearch:
    """Asks all platforms at once, each for its share of the page."""

    def __init__(self, crms: Sequence[Crm], seconds: float) -> None:
        self._crms = {crm.name: crm for crm in crms}
        self._seconds = seconds

    async def search(self, text: str, limit: int, after: Mapping[str, str] | None = None) -> FoundPeople:
        """The next page. Raises InvalidInput if `after` is none of ours."""
        if after is not None and not all(value == START or str(value).isdigit() for value in after.values()):
            raise InvalidInput("The cursor does not fit this call.", "Call without a cursor to begin anew.")
        wanted = [crm for name, crm in self._crms.items() if after is None or name in after]
        share = max(1, limit // max(1, len(self._crms)))
        asked = {crm.name: partial(self._ask, crm, text, share, (after or {}).get(crm.name) or None) for crm in wanted}
        answers = await ask_all(asked, self._seconds)
        pages = {name: answer.value for name, answer in answers.items() if answer.value is not None}
        people = _grouped([person for page in pages.values() for person in page.items])
        following = {name: page.next for name, page in pages.items() if page.next}
        if people or following:
            # A platform that did not answer keeps its place; who pages to the end gets there while it stays away.
            following |= {name: (after or {}).get(name, START) for name in asked.keys() - pages.keys()}
        return FoundPeople(people, following or None, answers)

    async def _ask(self, crm: Crm, text: str, limit: int, after: str | None) -> Read[Page[Person]]:
        return Read(await crm.search_people(text, limit, after), time())


def _grouped(people: Sequence[Person]) -> list[list[Person]]:
    groups: list[list[Person]] = []
    by_email: dict[str, list[Person]] = {}
    for person in people:
        group = next((by_email[email] for email in person.emails if email in by_email), None)
        if group is None:
            group = []
            groups.append(group)
        group.append(person)
        by_email |= dict.fromkeys(person.emails, group)
    return groups
