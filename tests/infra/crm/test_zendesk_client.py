"""zenpy, the common client library, against the simulator."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from zenpy import Zenpy
from zenpy.lib.api_objects import Comment, Ticket, User
from zenpy.lib.exception import APIException, RecordNotFoundException

from tests.support.crm import RunningSuite


@pytest.fixture
def zendesk(crm: RunningSuite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Zenpy]:
    monkeypatch.setenv("ZENPY_FORCE_SCHEME", "http")
    monkeypatch.setenv("ZENPY_FORCE_NETLOC", urlsplit(crm.urls["zendesk"]).netloc)
    known = crm.suite.credentials["zendesk"]
    yield Zenpy(subdomain="simulated", email=known["email"], token=known["api_token"], disable_cache=True)


def raw(crm: RunningSuite, method: str, path: str, **given: Any) -> requests.Response:
    known = crm.suite.credentials["zendesk"]
    auth = (f"{known['email']}/token", known["api_token"])
    return requests.request(method, f"{crm.urls['zendesk']}/api/v2{path}", auth=auth, timeout=10, **given)


def test_the_client_credentials_grant_gives_a_bearer_token(crm: RunningSuite) -> None:
    known = crm.suite.credentials["zendesk"]
    form = {
        "grant_type": "client_credentials",
        "client_id": known["client_id"],
        "client_secret": known["client_secret"],
    }
    granted = requests.post(f"{crm.urls['zendesk']}/oauth/tokens", json={**form, "scope": "read"}, timeout=10).json()
    url, headers = f"{crm.urls['zendesk']}/api/v2/users/me.json", {"Authorization": f"Bearer {granted['access_token']}"}
    assert requests.get(url, headers=headers, timeout=10).json()["user"]["role"] == "agent"
    requests.post(f"{crm.urls['zendesk']}/__control/expire-tokens", timeout=10)
    ended = requests.get(url, headers=headers, timeout=10)
    assert ended.status_code == 401 and ended.json()["error"] == "invalid_token"
    wrong = requests.post(f"{crm.urls['zendesk']}/oauth/tokens", json={**form, "client_secret": "x"}, timeout=10)
    assert wrong.status_code == 401 and wrong.json()["error"] == "invalid_client"
    assert requests.get(url, timeout=10).json() == {"error": "Couldn't authenticate you"}


def test_tickets_and_their_comments_are_read(zendesk: Zenpy) -> None:
    ticket = zendesk.tickets(id=20_100)
    comments = list(zendesk.tickets.comments(ticket=ticket))
    assert comments[0].body == ticket.description and comments[0].author_id == ticket.requester_id
    assert zendesk.users(id=ticket.requester_id).name
    many = list(zendesk.users(ids=[ticket.requester_id, comments[-1].author_id]))
    assert len(many) == len({ticket.requester_id, comments[-1].author_id})
    with pytest.raises(RecordNotFoundException):
        zendesk.tickets(id=1)


def test_lists_page_to_the_end(zendesk: Zenpy) -> None:
    ids = [ticket.id for ticket in zendesk.tickets()]
    assert len(ids) == len(set(ids)) >= 1650


def test_searches_know_words_properties_and_comparisons(zendesk: Zenpy) -> None:
    found = list(zendesk.search("gateway offline", type="ticket", status_less_than="solved"))
    assert found and all(ticket.status in ("new", "open", "pending", "hold") for ticket in found)
    ticket = zendesk.tickets(id=20_100)
    requester = zendesk.users(id=ticket.requester_id)
    own = {one.id for one in zendesk.search(type="ticket", requester=requester.id)}
    assert ticket.id in own
    assert requester.id in {user.id for user in zendesk.users.search(query=requester.name)}
    recent = zendesk.search(type="ticket", created_after="2026-10-01", sort_by="created_at", sort_order="asc")
    dates = [one.created_at for one in recent]
    assert dates and dates == sorted(dates) and dates[0] > "2026-10-01"


def test_a_search_ends_at_1000_and_the_export_does_not(crm: RunningSuite, zendesk: Zenpy) -> None:
    # zenpy takes what it can get, and logs the rest.
    assert len(list(zendesk.search("", type="ticket"))) == 1000
    exported = [ticket.id for ticket in zendesk.search_export(type="ticket")]
    assert len(exported) == len(set(exported)) >= 1650
    assert raw(crm, "GET", "/search.json?query=type:ticket&page=11").status_code == 422
    assert raw(crm, "GET", "/search/export.json?query=x").status_code == 400


def test_tickets_are_created_and_updated(zendesk: Zenpy) -> None:
    new = Ticket(
        subject="New one", comment=Comment(body="Hello"), requester=User(name="Nell", email="nell@mail.example")
    )
    made = zendesk.tickets.create(new).ticket
    assert made.status == "new" and zendesk.users(id=made.requester_id).email == "nell@mail.example"
    made.status, made.comment = "open", Comment(body="Looking", public=False)
    zendesk.tickets.update(made)
    comments = list(zendesk.tickets.comments(ticket=made.id))
    assert [comment.public for comment in comments] == [True, False]
    made.status = "upset"
    with pytest.raises(APIException):
        zendesk.tickets.update(made)


def test_a_safe_update_that_comes_too_late_is_refused(crm: RunningSuite) -> None:
    made = raw(crm, "POST", "/tickets.json", json={"ticket": {"subject": "x", "comment": {"body": "y"}}}).json()[
        "ticket"
    ]
    change = {"priority": "high", "safe_update": True, "updated_stamp": "2020-01-01T00:00:00Z"}
    late = raw(crm, "PUT", f"/tickets/{made['id']}.json", json={"ticket": change})
    assert late.status_code == 409 and late.json()["error"] == "UpdateConflict"
    change["updated_stamp"] = made["updated_at"]
    assert (
        raw(crm, "PUT", f"/tickets/{made['id']}.json", json={"ticket": change}).json()["ticket"]["priority"] == "high"
    )


def test_an_idempotency_key_makes_one_ticket(crm: RunningSuite) -> None:
    def create(subject: str) -> requests.Response:
        ticket = {"ticket": {"subject": subject, "comment": {"body": "once"}}}
        return raw(crm, "POST", "/tickets.json", json=ticket, headers={"Idempotency-Key": "key-1"})

    first, again, other = create("a"), create("a"), create("b")
    assert [answer.headers.get("x-idempotency-lookup") for answer in (first, again)] == ["miss", "hit"]
    assert first.json()["ticket"]["id"] == again.json()["ticket"]["id"]
    assert other.status_code == 400 and other.json()["error"] == "IdempotentRequestError"


def test_comments_page_by_cursor(crm: RunningSuite) -> None:
    url, seen = "/tickets/20100/comments.json?page[size]=1", []
    while url:
        page = raw(crm, "GET", url).json()
        seen += [comment["id"] for comment in page["comments"]]
        url = page["links"]["next"].split("/api/v2")[1] if page["meta"]["has_more"] else ""
    assert seen == [comment["id"] for comment in raw(crm, "GET", "/tickets/20100/comments.json").json()["comments"]]


def test_the_incremental_export_goes_by_change_and_leaves_out_the_last_minute(crm: RunningSuite) -> None:
    made = raw(crm, "POST", "/tickets.json", json={"ticket": {"subject": "x", "comment": {"body": "y"}}}).json()[
        "ticket"
    ]
    url, seen, stamps = "/incremental/tickets/cursor.json?start_time=0&per_page=1000", [], []
    while True:
        page = raw(crm, "GET", url).json()
        seen += [ticket["id"] for ticket in page["tickets"]]
        stamps += [ticket["generated_timestamp"] for ticket in page["tickets"]]
        if page["end_of_stream"]:
            break
        url = page["after_url"].split("/api/v2")[1]
    assert len(seen) == len(set(seen)) >= 1650 and stamps == sorted(stamps) and made["id"] not in seen
    assert raw(crm, "GET", f"/incremental/tickets/cursor.json?start_time={int(time.time())}").status_code == 422


def test_limits_are_told_in_headers_and_by_429(crm: RunningSuite) -> None:
    crm.control("zendesk", "limits", {"account": {"requests": 2, "seconds": 60}})
    answers = [raw(crm, "GET", "/users/me.json") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["X-Rate-Limit-Remaining"] == "1" and answers[0].headers["ratelimit-limit"] == "2"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 61
    limits = {"account": {"requests": 700, "seconds": 60}, "export": {"requests": 1, "seconds": 60}}
    crm.control("zendesk", "limits", limits)
    exports = [raw(crm, "GET", "/incremental/tickets/cursor.json?start_time=0") for _ in range(2)]
    assert [answer.status_code for answer in exports] == [200, 429]
    crm.control("zendesk", "limits", {"export": {"requests": 10, "seconds": 60}})
