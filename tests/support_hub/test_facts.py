from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from support_hub.facts import facts_of
from support_hub.records import FIELDS, Person, Reference


def person(source: str, day: int = 1, record: str = "1", **fields: str) -> Person:
    moment = datetime(2026, 1, day, tzinfo=UTC)
    return Person(Reference(source, record), fields, frozenset(), frozenset(), moment)


def test_the_newest_change_is_shown_and_the_others_are_named() -> None:
    people = [
        person("zendesk", 2, city="Leeds"),
        person("hubspot", 3, city="York"),
        person("salesforce", 1, city="York"),
    ]
    [fact] = facts_of(people, {})
    assert (fact.chosen.value, str(fact.chosen.reference), fact.rule) == ("York", "hubspot:1", "changed last")
    assert [str(claim.reference) for claim in fact.agree] == ["salesforce:1"]
    assert [claim.value for claim in fact.others] == ["Leeds"]


def test_a_source_that_is_believed_first_wins_over_newer_ones() -> None:
    people = [person("zendesk", 9, phone="+44 20 1"), person("salesforce", 1, phone="+44 20 2")]
    [fact] = facts_of(people, {"phone": ["salesforce", "hubspot"]})
    assert (fact.chosen.value, fact.rule) == ("+44 20 2", "salesforce is believed first for phone")


def test_another_spelling_is_no_conflict() -> None:
    people = [
        person("zendesk", phone="+44 20 7946 0018", company="ACME  Ltd."),
        person("hubspot", phone="020 79460018"),
    ]
    people.append(person("salesforce", company="Acme ltd"))
    assert all(not fact.others and fact.agree for fact in facts_of(people, {}))


def test_what_nobody_knows_is_left_out() -> None:
    assert facts_of([person("zendesk", name="")], {}) == []


claims = st.builds(
    lambda source, day, fields: person(source, day, **fields),
    st.sampled_from(["salesforce", "hubspot", "zendesk"]),
    st.integers(1, 28),
    st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=4), max_size=4),
)


@given(st.lists(claims, max_size=6), st.permutations(["salesforce", "hubspot"]))
def test_every_claim_is_somewhere_and_order_does_not_matter(people: list[Person], believed: list[str]) -> None:
    facts = facts_of(people, dict.fromkeys(FIELDS, believed))
    for fact in facts:
        told = sorted(claim.value for claim in (fact.chosen, *fact.agree, *fact.others))
        assert told == sorted(each.fields[fact.name] for each in people if each.fields.get(fact.name))
    again = facts_of(people[::-1], dict.fromkeys(FIELDS, believed))
    assert [(each.name, each.chosen.updated_at) for each in again] == [
        (each.name, each.chosen.updated_at) for each in facts
    ]
