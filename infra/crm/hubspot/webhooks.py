"""HubSpot's webhooks: a list of events a request, signed with version 3 over method, URL, body and time."""

import base64
import hashlib
import hmac
import itertools
import json
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from infra.crm.platform import Change, Delivery

PORTAL, APP, SUBSCRIPTION = 62_515, 54_321, 8_796_979
_numbers = itertools.count(1)


def sign(secret: str, method: str, url: str, body: bytes, timestamp: str) -> str:
    """base64(HMAC-SHA256(method + URL + body + timestamp)), with the app's client secret as the key."""
    text = f"{method}{url}".encode() + body + timestamp.encode()
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


def deliveries(change: Change, url: str, secret: str) -> list[Delivery]:
    """One request with all events of a change; its signature holds for this URL only."""
    body, timestamp = json.dumps(_events(change)).encode(), str(int(time.time() * 1000))
    address = urlunsplit(urlsplit(url)._replace(fragment=""))
    headers = {
        "Content-Type": "application/json",
        "X-HubSpot-Request-Timestamp": timestamp,
        "X-HubSpot-Signature-v3": sign(secret, "POST", address, body, timestamp),
        "X-HubSpot-Signature-Version": "v3",
    }
    return [Delivery(body, headers)]


def _events(change: Change) -> list[dict[str, Any]]:
    if change.action != "updated":
        name = "creation" if change.action == "created" else "deletion"
        return [_event(change, name)]
    values = change.record["properties"]
    return [
        {**_event(change, "propertyChange"), "propertyName": name, "propertyValue": values.get(name) or ""}
        for name in change.previous
    ]


def _event(change: Change, name: str) -> dict[str, Any]:
    return {
        "eventId": next(_numbers),
        "subscriptionId": SUBSCRIPTION,
        "portalId": PORTAL,
        "appId": APP,
        "occurredAt": int(time.time() * 1000),
        "subscriptionType": f"{change.kind}.{name}",
        "attemptNumber": 0,
        "objectId": int(change.record["id"]),
        "changeSource": "INTEGRATION",
        "sourceId": "simulated",
    }
