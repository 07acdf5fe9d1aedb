"""Whatever somebody types stays a value: the built queries are parsed again, and mean one condition on that value."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InvalidInput
from infra.crm.salesforce.soql import Comparison, Literal, Logic, parse, parse_where
from infra.crm.zendesk.search import Term
from infra.crm.zendesk.search import parse as parse_zendesk
from support_hub.adapters import hubspot_query as hubspot
from support_hub.adapters import salesforce_query as soql
from support_hub.adapters import zendesk_query as zendesk
from support_hub.ports import Crm, TicketQuery
from support_hub.settings import SupportSettings
from tests.support.crm import RunningSuite
from tests.support.hub import environment, settings_of

NASTY = st.sampled_from(
    [
        "' OR Name != '", "\\' OR '1'='1", "\\\\", "') LIMIT 1 --", "x' AND Id IN (SELECT Id FROM User) AND Name='",
        '" type:user "', 'a" OR role:admin', "-status:open", "type:user", "status<solved", "*", "created>2000-01-01",
        "} RETURNING User(Id) {", "a AND b", "FIND {x}", "?*&|!(){}[]^~:", "\x00\x08\x0b\x1b", "\u2028\u2029\ufeff",
        '"}]}],"limit":9', "line\nbreak\r\ttab", "%_", "﹐＇＂", "\ud7ff",
    ]
)  # fmt: skip
TEXT = st.lists(st.one_of(NASTY, st.text(max_size=20)), min_size=1, max_size=4).map(" ".join).filter(bool)
MOMENT = datetime(2026, 6, 1, tzinfo=UTC)


def normal(text: str) -> str:
    """As it is meant, however its spaces and what nobody sees are written."""
    return "".join(char if char.isprintable() or char in "\n\r\t\b\f" else " " for char in text)


@given(TEXT)
def test_a_soql_value_is_one_literal(text: str) -> None:
    query = parse(soql.select("Contact", "Id, Name", f"Email = {soql.literal(text)}", "Name", 5))
    assert [name.path for name in query.fields] == [("Id",), ("Name",)]
    assert query.source.path == ("Contact",) and query.limit == 5 and len(query.order) == 1
    assert isinstance(query.where, Comparison) and query.where.field.path == ("Email",) and query.where.operator == "="
    assert isinstance(query.where.value, Literal) and query.where.value.kind == "string"
    assert query.where.value.value == normal(text)


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_soql_values_are_a_list_of_as_many_literals(texts: list[str]) -> None:
    where = parse_where(f"Id IN {soql.listed(texts)}")
    assert isinstance(where, Comparison) and isinstance(where.value, list)
    assert [each.value for each in where.value] == [normal(text) for text in texts]


@given(TEXT)
def test_a_soql_condition_keeps_its_shape(text: str) -> None:
    wanted = TicketQuery(requester=text, statuses=frozenset({"open"}), created_since=MOMENT)
    where = parse_where(soql.condition(wanted, ["New", "Working"], MOMENT))
    assert isinstance(where, Logic) and where.operator.upper() == "AND" and len(where.parts) == 4
    either = where.parts[1]
    assert isinstance(either, Logic) and either.operator.upper() == "OR" and len(either.parts) == 2
    assert [part.value.value for part in either.parts] == [normal(text)] * 2  # type: ignore[union-attr]


SOSL = re.compile(r'\{"((?:[^"\\]|\\.)*)"(?: AND "((?:[^"\\]|\\.)*)")*\}')
SOSL_PHRASE = re.compile(r'"((?:[^"\\]|\\.)*)"')
SOSL_RESERVED = re.compile(r"""[?&|!{}\[\]()^~*:\\"'+\-]""")


@given(TEXT)
def test_words_of_sosl_are_phrases_in_which_nothing_has_a_meaning(text: str) -> None:
    found = soql.find(text)
    if found is None:
        assert all(len(re.sub(r"\W", "", word)) < soql.LEAST for word in text.split())
        return
    assert SOSL.fullmatch(found), found
    for phrase in SOSL_PHRASE.findall(found):
        assert not SOSL_RESERVED.search(re.sub(r"\\.", "", phrase)), phrase


@given(TEXT)
def test_ids_are_nothing_but_ids(text: str) -> None:
    assert not soql.is_id(text) or re.fullmatch(r"[A-Za-z0-9]{15,18}", text)


def plain(text: str) -> str:
    return " ".join(text.replace('"', " ").replace("\\", " ").split())


@given(TEXT)
def test_a_zendesk_search_has_the_terms_that_were_meant(text: str) -> None:
    try:
        query = zendesk.ticket_query(TicketQuery(text=text, requester=text, priorities=frozenset({"high"})), MOMENT)
    except InvalidInput:
        assert not plain(text)
        return
    words = [Term(False, "", ":", plain(word)) for word in text.split() if plain(word)]
    wanted = [
        Term(False, "type", ":", "ticket"),
        *words,
        Term(False, "priority", ":", "high"),
        Term(False, "requester", ":", plain(text)),
        Term(False, "updated", "<=", "2026-06-01T00:00:00Z"),
    ]
    assert parse_zendesk(query) == wanted


@given(TEXT, TEXT)
def test_a_zendesk_search_for_people_finds_nothing_but_end_users(email: str, text: str) -> None:
    try:
        query = zendesk.people_query([("email", email)], text)
    except InvalidInput:
        assert not plain(email)
        return
    terms = parse_zendesk(query)
    assert terms[:3] == [
        Term(False, "type", ":", "user"),
        Term(False, "role", ":", "end-user"),
        Term(False, "email", ":", plain(email)),
    ]
    assert all(term.field == "" and not term.negated for term in terms[3:])


@given(TEXT, st.lists(TEXT, max_size=3))
def test_a_hubspot_search_keeps_its_shape(text: str, contacts: list[str]) -> None:
    wanted = TicketQuery(text=text, priorities=frozenset({"low"}), updated_since=MOMENT)
    sent = json.loads(json.dumps({"query": text, "filterGroups": hubspot.ticket_filters(wanted, contacts, MOMENT)}))
    assert sent["query"] == text and len(sent["filterGroups"]) == 1
    filters = sent["filterGroups"][0]["filters"]
    names = ["hs_ticket_priority", *(["associations.contact"] if contacts else [])]
    assert [each["propertyName"] for each in filters] == [*names, "hs_lastmodifieddate", "hs_lastmodifieddate"]
    assert all(set(each) <= {"propertyName", "operator", "value", "values"} for each in filters)
    assert not contacts or filters[1]["values"] == contacts


@pytest.mark.parametrize("write", [soql.time, zendesk.timestamp, hubspot.milliseconds])
def test_a_time_of_another_zone_is_written_as_the_same_moment(write: Callable[[datetime], str]) -> None:
    assert write(MOMENT.astimezone(timezone(timedelta(hours=2)))) == write(MOMENT)


@pytest.mark.parametrize("name", ["salesforce", "hubspot", "zendesk"])
def test_the_platforms_find_nothing_that_was_not_asked_for(crm: RunningSuite, name: str) -> None:
    """The same texts, sent: no platform calls them malformed, and none finds records by what they could mean."""
    from common.http.upstream import UpstreamMetrics
    from common.settings import load_settings
    from support_hub.adapters.platforms import build_crms

    crm.control(name, "limits", {key: {"requests": 10_000, "seconds": 1} for key in crm.control(name, "limits")})
    loop = asyncio.new_event_loop()
    with environment({**settings_of(crm, name), "SUPPORT_SOURCE_SECONDS": "20"}):
        [made] = build_crms(load_settings(SupportSettings), UpstreamMetrics())

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(TEXT)
    def ask(text: str) -> None:
        loop.run_until_complete(_ask(made, text))

    try:
        ask()
    finally:
        loop.run_until_complete(made.close())
        loop.close()


async def _ask(crm: Crm, text: str) -> None:
    try:
        page = await crm.search_tickets(TicketQuery(requester=f"{text}@nowhere.example"), 5)
    except InvalidInput:
        return
    assert list(page.items) == [], text
