"""Who works for the customers, as they are in truth. How the platforms spell them is in `spelling.py`."""

import random
import unicodedata
from dataclasses import replace

from infra.crm.seed.names import CITIES, FIRST, LAST, MOBILES, PHONES, POSTCODES, STREETS, TITLES
from infra.crm.seed.records import Address, Company, Person

TOTAL = 560
NAMESAKES = 10
RELATIVES = 10
PRIVATE_SHARE = 0.08
SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
# People whom the company's documents name.
NAMED = (
    ("C003", "Mirek", "Dvořák", "Quality manager"),
    ("C003", "Bronagh", "Devlin", "Operations director"),
    ("C003", "Jolanta", "Wójcik", "Laboratory manager"),
    ("C003", "Peter", "Ogilvie", "Shift lead"),
    ("C001", "Saskia", "Lindqvist", "Site engineer"),
)


def plain(text: str, spelled_out: bool = False) -> str:
    """The name in ASCII: Müller becomes Muller or, spelled out, Mueller."""
    text = (text.translate(SPELLED_OUT) if spelled_out else text).replace("ß", "ss")
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def mailbox(first: str, last: str) -> str:
    """The part of an e-mail address before the @."""
    return f"{plain(first)}.{plain(last)}".lower().replace(" ", "").replace("'", "")


def make_address(random_: random.Random, country: str) -> Address:
    """An address whose postcode does not exist."""
    number, street = random_.randrange(1, 120), random_.choice(STREETS[country].split("|"))
    line = f"{street} {number}" if country in ("DE", "NL") else f"{number} {street}"
    digits = [random_.randrange(10) for _ in range(3)]
    return Address(line, POSTCODES[country].format(*digits), random_.choice(CITIES[country]), country)


def make_number(random_: random.Random, ranges: tuple[tuple[str, int], ...]) -> str:
    """A telephone number in international form, or nothing where no range is reserved."""
    if not ranges:
        return ""
    prefix, digits = random_.choice(ranges)
    return f"{prefix}{random_.randrange(10**digits):0{digits}d}"


def make_people(random_: random.Random, companies: tuple[Company, ...]) -> tuple[Person, ...]:
    """Everybody. Each but namesakes and relatives has a name and an e-mail of their own."""
    by_key = {company.key: company for company in companies}
    people = [_person(random_, number, by_key[key], *person) for number, (key, *person) in enumerate(NAMED)]
    names = {(person.first, person.last) for person in people}
    while len(people) < TOTAL - NAMESAKES - RELATIVES:
        company = random_.choice(companies)
        first, last = _name(random_, company.country)
        if (first, last) not in names:
            names.add((first, last))
            people.append(_person(random_, len(people), company, first, last, random_.choice(TITLES)))
    models = random_.sample(range(len(NAMED), len(people)), NAMESAKES + RELATIVES)
    for model in models[:NAMESAKES]:
        people.append(_namesake(random_, len(people), people[model], companies))
    for model in models[NAMESAKES:]:
        people[model], relative = _family(random_, len(people), people[model])
        people.append(relative)
    return tuple(people)


def _name(random_: random.Random, country: str) -> tuple[str, str]:
    return random_.choice(FIRST[country].split()), random_.choice(LAST[country].split()).replace("_", " ")


def _person(random_: random.Random, number: int, company: Company, first: str, last: str, title: str) -> Person:
    mobiles = (MOBILES[company.country],) if company.country in MOBILES and random_.random() < 0.6 else ()
    private = company.industry == "wine" and random_.random() < 0.5 or random_.random() < PRIVATE_SHARE
    domain = "mail.example" if private else company.domain
    return Person(
        key=f"P{number:04d}",
        first=first,
        last=last,
        email=f"{mailbox(first, last)}@{domain}",
        phone=make_number(random_, PHONES.get(company.country, ())),
        mobile=make_number(random_, mobiles),
        title=title,
        address=replace(make_address(random_, company.country), city=company.city),
        company=company,
    )


def _namesake(random_: random.Random, number: int, model: Person, companies: tuple[Company, ...]) -> Person:
    """Somebody else of the same name, at another company."""
    others = [company for company in companies if company.country == model.company.country and company != model.company]
    made = _person(random_, number, random_.choice(others), model.first, model.last, random_.choice(TITLES))
    email = made.email.replace("@", "2@") if made.email == model.email else made.email
    return replace(made, email=email, awkward=("namesake",))


def _family(random_: random.Random, number: int, model: Person) -> tuple[Person, Person]:
    """Two relatives who share one mailbox and one telephone."""
    shared = f"{plain(model.last).lower().replace(' ', '').replace(chr(39), '')}{number}@mail.example"
    first = random_.choice([name for name in FIRST[model.company.country].split() if name != model.first])
    made = _person(random_, number, model.company, first, model.last, "Buyer")
    relative = replace(made, phone=model.phone, address=model.address)
    return tuple(replace(person, email=shared, awkward=("shared_mailbox",)) for person in (model, relative))  # type: ignore[return-value]
