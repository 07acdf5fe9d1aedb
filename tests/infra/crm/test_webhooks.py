"""Webhooks: signed as documented, in order, repeated until they are taken."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import requests

from tests.support.crm import RunningSuite

ACK = b'<Envelope><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse></Envelope>'  # noqa: E501


class Hook:
    """A subscriber that keeps what it got; `statuses` and `bodies` are its next answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self._more = threading.Semaphore(0)

    def take(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        """The first so many requests, waiting for them."""
        for _ in range(count):
            assert self._more.acquire(timeout=15), f"only {len(self.got)} webhooks came"
        return self.got[:count]

    def handle(self, headers: dict[str, str], body: bytes) -> int:
        self.got.append((headers, body))
        self._more.release()
        return self.statuses.pop(0) if self.statuses else 200


@contextmanager
def subscribed(crm: RunningSuite, name: str) -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(hook.handle({key.lower(): value for key, value in self.headers.items()}, body))
            answer = hook.bodies.pop(0) if hook.bodies else ACK
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hook.url = f"http://127.0.0.1:{server.server_port}/hooks/{name}?secret=abc"
        crm.control(name, "subscriber", {"url": hook.url})
        try:
            yield hook
        finally:
            server.shutdown()


def signature(secret: str, text: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


def test_zendesk_signs_timestamp_and_body_and_tries_again(crm: RunningSuite) -> None:
    known = crm.suite.credentials["zendesk"]
    auth, url = (f"{known['email']}/token", known["api_token"]), f"{crm.urls['zendesk']}/api/v2/tickets"
    with subscribed(crm, "zendesk") as hook:
        hook.statuses = [500]
        new: Any = {"ticket": {"subject": "x", "comment": {"body": "y"}}}
        made = requests.post(f"{url}.json", json=new, auth=auth, timeout=10).json()["ticket"]
        change: Any = {"ticket": {"status": "open", "comment": {"body": "more"}}}
        requests.put(f"{url}/{made['id']}.json", json=change, auth=auth, timeout=10)
        got = hook.take(4)
    events = [json.loads(body) for _, body in got]
    types = [event["type"].removeprefix("zen:event-type:ticket.") for event in events]
    assert types == ["created", "created", "status_changed", "comment_added"] and events[0]["id"] == events[1]["id"]
    assert (
        events[2]["event"] == {"current": "OPEN", "previous": "NEW"}
        and events[3]["subject"] == f"zen:ticket:{made['id']}"
    )
    for headers, body in got:
        stamp = headers["x-zendesk-webhook-signature-timestamp"].encode()
        assert headers["x-zendesk-webhook-signature"] == signature(known["webhook_secret"], stamp + body)
    assert crm.control("zendesk", "subscriber")["retries"] >= 1


def test_hubspot_signs_method_url_body_and_time(crm: RunningSuite) -> None:
    known = crm.suite.credentials["hubspot"]
    headers, url = {"Authorization": f"Bearer {known['access_token']}"}, f"{crm.urls['hubspot']}/crm/v3/objects/tickets"
    with subscribed(crm, "hubspot") as hook:
        body = {"properties": {"subject": "x", "hs_pipeline_stage": "1"}}
        made = requests.post(url, json=body, headers=headers, timeout=10).json()
        requests.patch(f"{url}/{made['id']}", json={"properties": {"subject": "z"}}, headers=headers, timeout=10)
        got = hook.take(2)
    events = [json.loads(body)[0] for _, body in got]
    assert [event["subscriptionType"] for event in events] == ["ticket.creation", "ticket.propertyChange"]
    assert events[1]["propertyName"] == "subject" and events[1]["propertyValue"] == "z"
    for sent, raw in got:
        text = f"POST{hook.url}".encode() + raw + sent["x-hubspot-request-timestamp"].encode()
        assert sent["x-hubspot-signature-v3"] == signature(known["client_secret"], text)


def test_salesforce_sends_outbound_messages_until_they_are_acknowledged(crm: RunningSuite) -> None:
    known = crm.suite.credentials["salesforce"]
    form = {
        "grant_type": "client_credentials",
        "client_id": known["client_id"],
        "client_secret": known["client_secret"],
    }
    granted = requests.post(f"{crm.urls['salesforce']}/services/oauth2/token", data=form, timeout=10).json()
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    with subscribed(crm, "salesforce") as hook:
        hook.bodies = [b'<?xml version="1.0" encoding="unknown"?>' + ACK]
        url = f"{crm.urls['salesforce']}/services/data/v66.0/sobjects/Case"
        made = requests.post(url, json={"Subject": "a < b & c"}, headers=headers, timeout=10).json()
        got = hook.take(2)
    assert got[0][1] == got[1][1] and got[0][0]["content-type"].startswith("text/xml")
    text = got[0][1].decode()
    assert f"<OrganizationId>{known['organization_id']}</OrganizationId>" in text
    assert f"<sf:Id>{made['id']}</sf:Id>" in text and "<sf:Subject>a &lt; b &amp; c</sf:Subject>" in text


def test_what_a_composite_took_back_is_told_to_nobody(crm: RunningSuite) -> None:
    platform = next(platform for platform in crm.suite.platforms if platform.name == "salesforce")
    told: list[str] = []
    platform.listeners.append(lambda change: told.append(change.record["Subject"]))
    create: Any = {"method": "POST", "url": "/services/data/v66.0/sobjects/Case", "referenceId": "made"}
    bad = {**create, "referenceId": "bad", "body": {"Nope": 1}}
    headers = {"Authorization": f"Bearer {platform.tokens.issue()}"}
    url = f"{crm.urls['salesforce']}/services/data/v66.0/composite"
    for subject, parts in (("gone", [bad]), ("kept", [])):
        whole: Any = {"allOrNone": True, "compositeRequest": [{**create, "body": {"Subject": subject}}, *parts]}
        assert requests.post(url, json=whole, headers=headers, timeout=10).status_code == 200
    platform.listeners.pop()
    assert told == ["kept"]
