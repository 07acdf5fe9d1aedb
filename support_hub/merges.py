"""Records that are one customer's though no address says so: suggested with evidence, merged by people, undone again.

Nothing is changed in the platforms: a merge is a note of the hub that its answers follow.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import Any

from pydantic import TypeAdapter

from common.cache.cache import Cache
from common.cache.entry import Rule
from common.errors import InvalidInput, NotFound
from common.security.principal import Principal
from support_hub.customer import LINK_SECONDS
from support_hub.fanout import Arrived, Read, worst
from support_hub.people import PeopleSearch
from support_hub.ports import Contact, Crm, Merge, MergeStore
from support_hub.records import Person, Reference
from support_hub.sources import record_tag

MOST_LINKED = 20
"""Records of one customer; more are a mistake."""
WEIGHTS = {"e-mail address": 0.7, "telephone number": 0.5, "name": 0.35, "similar name": 0.25, "company": 0.2}
ENOUGH = 0.5
ALIKE = 0.85
CANDIDATES = 30


@dataclass(frozen=True)
class Suggestion:
    """A record that may be the same customer's. `score` is between 0 and 1."""

    of: Reference
    other: Person
    evidence: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class Suggested:
    """The likeliest ones, and what came of each platform that was searched for them."""

    found: list[Suggestion]
    sources: Mapping[str, Arrived[Any]]


class Merges:
    """Suggests, remembers, follows and undoes."""

    def __init__(self, store: MergeStore, crms: Sequence[Crm], people: PeopleSearch, cache: Cache) -> None:
        self._store = store
        self._crms = {crm.name: crm for crm in crms}
        self._people = people
        self._cache = cache
        self._rule = Rule("merges", TypeAdapter(list[str]), ttl=60.0, load_seconds=LINK_SECONDS)

    async def linked(self, references: Iterable[Reference]) -> Read[list[Reference]]:
        """The other records that are merged with these. Raises what `common.errors` has."""
        known = sorted(str(each) for each in references)

        async def load() -> list[str]:
            return sorted(set(await self._closure(known)) - set(known))

        tags = [f"record:{each}" for each in known]
        found = await self._cache.get(self._rule, " ".join(known), load, tags, lambda x: [f"record:{r}" for r in x])
        return Read([Reference(*each.split(":", 1)) for each in found.value or []], found.loaded_at, found.is_stale)

    async def in_force(self, references: Iterable[Reference]) -> list[Merge]:
        """The merges that tie these records together."""
        return await self._store.of([str(each) for each in references])

    async def suggestions(self, people: Sequence[Person], limit: int) -> Suggested:
        """Records of all platforms that may be the same customer's, the likeliest first."""
        mine = {person.reference for person in people}
        names = {name for person in people if (name := person.fields.get("name"))}
        found = [await self._people.search(name, CANDIDATES) for name in sorted(names)[:2]]
        others = {p.reference: p for page in found for group in page.people for p in group if p.reference not in mine}
        best = [max((_compared(p, other) for p in people), key=lambda each: each.score) for other in others.values()]
        likely = [each for each in best if each.score >= ENOUGH]
        chosen = sorted(likely, key=lambda each: (-each.score, str(each.other.reference)))[:limit]
        return Suggested(chosen, worst(page.sources for page in found))

    async def merge(self, who: Principal, first: Reference, second: Reference) -> Merge:
        """Note that both are one customer's; the same again is the same merge. Raises NotFound, InvalidInput."""
        if first == second:
            raise InvalidInput("This is one record.", "Give two, as list_merge_suggestions does.")
        one, other = await self._person(first), await self._person(second)
        evidence = _compared(one, other).evidence
        if not evidence:
            raise InvalidInput("Nothing in these records says that they are one customer's.", "Correct them first.")
        pair = min(str(first), str(second)), max(str(first), str(second))
        name = hashlib.sha256(" ".join(pair).encode()).hexdigest()[:16]
        kept = await self._store.add(Merge(f"merge-{name}", pair, who.subject, datetime.now(UTC), evidence))
        await self._forget(kept)
        return kept

    async def undo(self, who: Principal, merge_id: str) -> Merge:
        """As if it had not been; once more does nothing. Raises NotFound."""
        undone = await self._store.undo(merge_id, who.subject, datetime.now(UTC))
        await self._forget(undone)
        return undone

    async def _closure(self, known: Iterable[str]) -> set[str]:
        seen, new = set[str](), set(known)
        while new and len(seen) < MOST_LINKED:
            seen |= new
            new = {each for merge in await self._store.of(sorted(new)) for each in merge.pair} - seen
        return seen

    async def _person(self, reference: Reference) -> Person:
        crm = self._crms.get(reference.source)
        people = await crm.find_people(Contact(reference=reference)) if crm else []
        if not people:
            raise NotFound(f"There is no customer {reference}.", "search_customers has the ids of records.")
        return people[0]

    async def _forget(self, merge: Merge) -> None:
        await self._cache.invalidate_tags(*(record_tag(Reference(*each.split(":", 1))) for each in merge.pair))


def _compared(one: Person, other: Person) -> Suggestion:
    same = []
    if one.emails & other.emails:
        same.append("e-mail address")
    if one.phones & other.phones:
        same.append("telephone number")
    names = [_plain(each.fields.get("name", "")) for each in (one, other)]
    if names[0] and names[0] == names[1]:
        same.append("name")
    elif all(names) and SequenceMatcher(None, names[0], names[1]).ratio() >= ALIKE:
        same.append("similar name")
    companies = {_plain(each.fields.get("company", "")) for each in (one, other)}
    # Colleagues share a company: alone it says nothing.
    if same and len(companies) == 1 and companies != {""}:
        same.append("company")
    score = min(1.0, sum(WEIGHTS[each] for each in same))
    return Suggestion(one.reference, other, tuple(same), round(score, 2))


def _plain(text: str) -> str:
    """Without case, accents and the order of words."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if c.isalnum() or c.isspace())
    return " ".join(sorted(bare.split()))
