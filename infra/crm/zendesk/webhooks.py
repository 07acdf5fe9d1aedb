"""Zendesk's event webhooks: one request an event, signed over timestamp and body."""

import base64
import hashlib
import hmac
import json
import uuid
from typing import Any

from infra.crm.clock import now, zendesk_time
from infra.crm.platform import Change, Delivery

ACCOUNT = 22_129_848
VERSION = "2022-11-06"


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """base64(HMAC-SHA256(timestamp + body))."""
    return base64.b64encode(hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()).decode()


def deliveries(change: Change, secret: str) -> list[Delivery]:
    """The requests that tell of a change."""
    return [_delivery(_event(change, kind, event), secret) for kind, event in _events(change)]


def _events(change: Change) -> list[tuple[str, dict[str, Any]]]:
    if change.action == "created":
        return [(f"{change.kind}.created", {})]
    events: list[tuple[str, dict[str, Any]]] = []
    for field, old in change.previous.items():
        if field == "comment":
            comment = {"id": str(old["id"]), "body": old["body"], "is_public": old["public"]}
            comment["author"] = {"id": str(old["author_id"])}
            events.append((f"{change.kind}.comment_added", {"comment": comment}))
        else:
            current = change.record[field]
            upper = field in ("status", "priority", "type")
            values = {"current": _upper(current) if upper else current, "previous": _upper(old) if upper else old}
            events.append((f"{change.kind}.{field.removesuffix('_id')}_changed", values))
    return events


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _event(change: Change, kind: str, event: dict[str, Any]) -> dict[str, Any]:
    record = change.record
    detail = {
        name: str(value) if name.endswith("id") and value is not None else value for name, value in record.items()
    }
    return {
        "account_id": ACCOUNT,
        "detail": {name: value for name, value in detail.items() if name not in ("custom_fields", "user_fields")},
        "event": event,
        "id": str(uuid.uuid4()),
        "subject": f"zen:{change.kind}:{record['id']}",
        "time": zendesk_time(now()),
        "type": f"zen:event-type:{kind}",
        "zendesk_event_version": VERSION,
    }


def _delivery(event: dict[str, Any], secret: str) -> Delivery:
    body, timestamp = json.dumps(event).encode(), zendesk_time(now())
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "X-Zendesk-Account-Id": str(ACCOUNT),
        "X-Zendesk-Webhook-Id": "01J0SIMULATED",
        "X-Zendesk-Webhook-Invocation-Id": event["id"],
        "X-Zendesk-Webhook-Signature": sign(secret, timestamp, body),
        "X-Zendesk-Webhook-Signature-Timestamp": timestamp,
    }
    return Delivery(body, headers)
