"""Whatever arrives, the platforms answer with an error of theirs and never break."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.crm.calls import Call, Refused
from infra.crm.launch import Suite, make_suite

DATA = "/services/data/v66.0"
# Paths with the names that their bodies know.
BODIES = {
    "salesforce": {
        f"{DATA}/parameterizedSearch": ("q", "fields", "sobjects", "in", "overallLimit", "defaultLimit"),
        f"{DATA}/composite": ("compositeRequest", "allOrNone"),
        f"{DATA}/sobjects/Case": ("Subject", "ContactId", "IsClosed", "attributes"),
        f"{DATA}/sobjects/Case/External_Id__c/1": ("Subject", "ContactId"),
    },
    "hubspot": {
        "/crm/v3/objects/tickets": ("properties", "associations"),
        "/crm/v3/objects/tickets/search": ("filterGroups", "sorts", "limit", "after", "query", "properties"),
        "/crm/v3/objects/contacts/20001": ("properties",),
        "/crm/v3/objects/contacts/batch/read": ("inputs", "properties", "idProperty"),
        "/crm/v4/associations/contacts/tickets/batch/read": ("inputs",),
    },
    "zendesk": {
        "/api/v2/tickets": ("ticket",),
        "/api/v2/tickets/21600": ("ticket",),
        "/oauth/tokens": ("grant_type", "client_id", "scope"),
    },
}
INNER = (
    "id", "name", "fields", "limit", "where", "url", "method", "referenceId", "body", "filters",
    "propertyName", "operator", "value", "values", "direction", "to", "types", "associationTypeId",
    "subject", "email", "comment", "author_id", "tags", "requester", "requester_id", "status", "safe_update",
    "hs_pipeline_stage", "priority", "external_id", "public",
)  # fmt: skip
KNOWN = ("EQ", "IN", "createdate", "email", "POST", "Case", "Id", "16", "1", "x@y.example", f"{DATA}/query", "@{a.b}")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.sampled_from(KNOWN)
)
NESTED = st.recursive(
    SCALARS,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(INNER), inside, max_size=5),
    max_leaves=10,
)
READS = {
    "salesforce": (f"{DATA}/query", f"{DATA}/search", f"{DATA}/parameterizedSearch", f"{DATA}/sobjects/Case/x"),
    "hubspot": (
        "/crm/v3/objects/contacts",
        "/crm/v3/objects/tickets/1",
        "/crm/v4/objects/contacts/20001/associations/tickets",
    ),
    "zendesk": (
        "/api/v2/search",
        "/api/v2/search/export",
        "/api/v2/users/show_many",
        "/api/v2/users/search",
        "/api/v2/incremental/tickets/cursor",
        "/api/v2/tickets/20100/comments",
        "/api/v2/tickets",
    ),
}
PARAMETERS = (
    "q", "query", "ids", "page[size]", "page[after]", "page", "per_page", "cursor", "start_time", "filter[type]",
    "limit", "after", "sobject", "fields", "properties", "associations", "overallLimit", "defaultLimit", "sort_by",
)  # fmt: skip
SHAPES = (*KNOWN, "ticket", "WzFd", "W10", "status>open created:x", "FIND {ab} IN ALL FIELDS")
QUERY = st.dictionaries(st.sampled_from(PARAMETERS), st.text(max_size=10) | st.sampled_from(SHAPES), max_size=4)


@pytest.fixture(scope="module")
def suite() -> Suite:
    return make_suite()


def ask(suite: Suite, name: str, method: str, path: str, query: dict[str, str], body: Any) -> int:
    """The status, with good credentials: what those who may come in can do is what matters here."""
    platform = next(platform for platform in suite.platforms if platform.name == name)
    known = suite.credentials["zendesk"]
    basic = base64.b64encode(f"{known['email']}/token:{known['api_token']}".encode()).decode()
    token = {"salesforce": platform.tokens.issue(), "hubspot": suite.credentials["hubspot"]["access_token"]}.get(name)
    headers = {"Authorization": f"Bearer {token}" if token else f"Basic {basic}"}
    for limit in platform.limits.values():
        limit.limit = 10**9
    try:
        call = Call(method, path, query, headers, json.dumps(body).encode(), "http://127.0.0.1:1", target=path)
        answer = platform.answer(call)
    except Refused as refused:
        answer = refused.answer
    answer.encoded()
    return answer.status


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in BODIES.items() for path in paths])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nonsense_in_a_body_gets_an_error_of_the_platform(suite: Suite, name: str, path: str, data: Any) -> None:
    names = BODIES[name][path]
    body = data.draw(st.dictionaries(st.sampled_from(names), NESTED, min_size=min(2, len(names))) | NESTED)
    method = data.draw(st.sampled_from(("POST", "PATCH", "PUT")))
    assert 200 <= ask(suite, name, method, path, {}, body) < 500


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in READS.items() for path in paths])
@settings(max_examples=40, deadline=None)
@given(query=QUERY)
def test_nonsense_in_a_query_gets_an_error_of_the_platform(
    suite: Suite, name: str, path: str, query: dict[str, str]
) -> None:
    assert 200 <= ask(suite, name, "GET", path, query, None) < 500
