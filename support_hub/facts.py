"""One customer out of several sources' records: each field with where it comes from, and who disagrees."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from support_hub.records import FIELDS, Person, Reference

Preference = Mapping[str, Sequence[str]]
"""For each field, the sources that are believed first; the others follow by the newest change."""
_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Claim:
    """What one record says."""

    value: str
    reference: Reference
    updated_at: datetime


@dataclass(frozen=True)
class Fact:
    """A field as it is shown. `others` say something else; `agree` say the same, perhaps spelled differently."""

    name: str
    chosen: Claim
    rule: str
    """Why this claim was chosen."""
    agree: tuple[Claim, ...]
    others: tuple[Claim, ...]


def facts_of(people: Sequence[Person], preference: Preference) -> list[Fact]:
    """All fields that any record has, in the order of FIELDS."""
    return [
        _decide(name, claims, preference.get(name, ()))
        for name in FIELDS
        if (claims := [_claim(person, name) for person in people if person.fields.get(name)])
    ]


def _claim(person: Person, name: str) -> Claim:
    return Claim(person.fields[name], person.reference, person.updated_at)


def _decide(name: str, claims: Sequence[Claim], believed: Sequence[str]) -> Fact:
    def place(claim: Claim) -> tuple[int, float, str]:
        source = claim.reference.source
        rank = believed.index(source) if source in believed else len(believed)
        return rank, -claim.updated_at.timestamp(), str(claim.reference)

    chosen, *rest = sorted(claims, key=place)
    same = [claim for claim in rest if _plain(name, claim.value) == _plain(name, chosen.value)]
    others = [claim for claim in rest if claim not in same]
    return Fact(name, chosen, _rule(name, chosen, rest, believed), tuple(same), tuple(others))


def _rule(name: str, chosen: Claim, rest: Sequence[Claim], believed: Sequence[str]) -> str:
    if not rest:
        return "the only source that has it"
    if chosen.reference.source in believed:
        return f"{chosen.reference.source} is believed first for {name}"
    return "changed last"


def _plain(name: str, value: str) -> str:
    """The value without what is no disagreement: case, spaces, punctuation."""
    if name == "phone":
        return re.sub(r"\D", "", value)[-9:]
    return _NOT_WORD.sub(" ", value.casefold()).strip()
