"""How the platforms spell the same person: most alike, about 15 % awkward in one of the ways of `AWKWARD`."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from infra.crm.ids import salesforce_id
from infra.crm.seed.names import NICKNAMES, PHONES
from infra.crm.seed.people import make_address, make_number, plain
from infra.crm.seed.records import Listing, Person, PlatformName

PLATFORMS: tuple[PlatformName, ...] = ("salesforce", "hubspot", "zendesk")
SHARES = {"salesforce": 0.8, "hubspot": 0.75, "zendesk": 0.9}
AWKWARD_SHARE = 0.13
HUBSPOT_FIRST = {"contacts": 20_001, "companies": 90_000_001, "tickets": 5_400_000_001, "notes": 71_000_000_001}
ZENDESK_FIRST = {"users": 18_400_000_001, "organizations": 17_200_000_001, "tickets": 20_001}

Change = Callable[[random.Random, Listing], Listing]


def _diacritics(random_: random.Random, listing: Listing) -> Listing:
    out = random_.random() < 0.5
    return replace(listing, first=plain(listing.first, out), last=plain(listing.last, out))


def _nickname(random_: random.Random, listing: Listing) -> Listing:
    return replace(listing, first=NICKNAMES.get(listing.first, listing.first[:1] + "."))


def _swapped(random_: random.Random, listing: Listing) -> Listing:
    return replace(listing, first=listing.last, last=listing.first)


def _married(random_: random.Random, listing: Listing) -> Listing:
    last = random_.choice(("Holloway", "Marchetti", "Sørensen", "Abernathy", "Delacroix", "Rosenthal"))
    box = f"{plain(listing.first)}.{plain(last)}".lower().replace(" ", "")
    return replace(listing, last=last, email=f"{box}@{listing.email.split('@')[1]}")


def _typo(random_: random.Random, listing: Listing) -> Listing:
    last = listing.last
    place = random_.choice([at for at in range(1, len(last) - 1) if last[at] != last[at + 1]])
    turned = last[:place] + last[place + 1] + last[place] + last[place + 2 :]
    email = listing.email.replace(".example", ".exmaple") if random_.random() < 0.5 else listing.email
    return replace(listing, last=turned, email=email)


def _other_phone(random_: random.Random, listing: Listing) -> Listing:
    return replace(listing, phone=make_number(random_, PHONES.get(listing.address.country, ())), mobile=listing.phone)


def _old_address(random_: random.Random, listing: Listing) -> Listing:
    return replace(listing, address=make_address(random_, listing.address.country))


def _plus_address(random_: random.Random, listing: Listing) -> Listing:
    box, domain = listing.email.split("@")
    return replace(listing, email=f"{box}+{random_.choice(('fernhill', 'loggers', 'alarms'))}@{domain}")


def _no_email(random_: random.Random, listing: Listing) -> Listing:
    return replace(listing, email="")


AWKWARD: dict[str, Change] = {
    "diacritics": _diacritics,
    "nickname": _nickname,
    "swapped_names": _swapped,
    "married_name": _married,
    "typo": _typo,
    "other_phone": _other_phone,
    "old_address": _old_address,
    "plus_address": _plus_address,
    "no_email": _no_email,
}


def choose_awkward(random_: random.Random, people: tuple[Person, ...]) -> tuple[Person, ...]:
    """Marks who is spelled awkwardly, evenly over the ways, where the name allows it."""
    ways = list(AWKWARD)
    chosen = []
    for person in people:
        if person.awkward or random_.random() >= AWKWARD_SHARE:
            chosen.append(person)
            continue
        fitting = [way for way in ways if _fits(way, person)]
        way = fitting[0]
        ways.append(ways.pop(ways.index(way)))
        chosen.append(replace(person, awkward=(way,)))
    return tuple(chosen)


def _fits(way: str, person: Person) -> bool:
    if way == "diacritics":
        return plain(person.first + person.last) != person.first + person.last
    if way == "nickname":
        return person.first in NICKNAMES
    return way != "other_phone" or bool(person.phone)


def make_listings(random_: random.Random, people: tuple[Person, ...], today: datetime) -> tuple[Listing, ...]:
    """Each person in one to three platforms; a few stand twice in HubSpot, as imported lists do."""
    listings: list[Listing] = []
    counts = dict.fromkeys(PLATFORMS, 0)

    def add(platform: PlatformName, person: Person, change: Change | None) -> None:
        listing = _listing(random_, platform, counts[platform], person, today)
        counts[platform] += 1
        listings.append(change(random_, listing) if change else listing)

    for person in people:
        platforms = [name for name in PLATFORMS if random_.random() < SHARES[name]]
        wanted = 2 if person.awkward else 1
        others = [name for name in PLATFORMS if name not in platforms]
        platforms += random_.sample(others, max(0, wanted - len(platforms)))
        changes = [AWKWARD[way] for way in person.awkward if way in AWKWARD]
        odd = random_.choice(platforms) if changes else None
        for platform in platforms:
            add(platform, person, changes[0] if platform == odd else None)
        if "plus_address" in person.awkward and "hubspot" in platforms and odd != "hubspot":
            add("hubspot", person, _plus_address)
    return tuple(listings)


def record_id(platform: PlatformName, number: int) -> str:
    """Id of the n-th person in a platform."""
    if platform == "salesforce":
        return salesforce_id("003", number + 1)
    return str((HUBSPOT_FIRST["contacts"] if platform == "hubspot" else ZENDESK_FIRST["users"]) + number * 7)


def _listing(random_: random.Random, platform: PlatformName, number: int, person: Person, today: datetime) -> Listing:
    company = person.company
    stale = company.former_name is not None and platform == ("salesforce", "hubspot", "zendesk")[company.number % 3]
    created = today - timedelta(days=random_.randrange(60, 1500), seconds=random_.randrange(86_400))
    return Listing(
        platform=platform,
        record_id=record_id(platform, number),
        person=person.key,
        company=company,
        company_name=company.former_name if stale and company.former_name else company.name,
        first=person.first,
        last=person.last,
        email=person.email,
        phone=_written(random_, platform, person.phone),
        mobile=_written(random_, platform, person.mobile),
        title=person.title if platform != "zendesk" else "",
        address=person.address,
        created=created,
        updated=min(today, created + timedelta(days=random_.randrange(0, 400))),
    )


def _written(random_: random.Random, platform: PlatformName, number: str) -> str:
    """A number as people type it: national, with dots, with (0), as it is."""
    if not number or random_.random() < 0.55:
        return number
    code = next(code for code in ("+353", "+44", "+49", "+33", "+1") if number.startswith(code))
    rest = number[len(code) :]
    if code == "+1":
        return random_.choice((f"({rest[:3]}) {rest[3:6]}-{rest[6:]}", f"{rest[:3]}.{rest[3:6]}.{rest[6:]}"))
    if code == "+33":
        national = "0" + rest
        return " ".join(national[at : at + 2] for at in range(0, len(national), 2))
    area = 4 if rest.startswith("7") else 3
    start, end = rest[:area], rest[area:]
    return random_.choice((f"0{start} {end}", f"{code} (0){start} {end}", f"{code} {start} {end}"))
