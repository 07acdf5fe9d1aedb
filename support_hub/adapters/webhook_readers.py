"""The formats of the platforms' webhooks.

Zendesk: "Verifying webhooks". HubSpot: "Validating requests", version 3. Salesforce: SOAP API guide, "Outbound
Messaging"; it does not sign, so that a secret part of the URL and the organisation's id have to do (and its client
certificate at the proxy in front).
"""

import base64
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as Xml

from common.errors import Denied
from common.security.webhook_signature import check_signature, check_time
from support_hub.records import Reference
from support_hub.settings import SupportSettings
from support_hub.sources import email_tag, record_tag, source_tag
from support_hub.webhooks import Delivery, Notice, WebhookReader

OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
ACK = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
    '<soapenv:Body><notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    "</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


def build_readers(settings: SupportSettings) -> dict[str, WebhookReader]:
    """Those of the platforms whose secret is known; nobody else's messages are taken."""
    readers: dict[str, WebhookReader] = {}
    if settings.zendesk_webhook_secret:
        readers["zendesk"] = ZendeskWebhooks(settings.zendesk_webhook_secret.get_secret_value())
    if settings.hubspot_client_secret:
        readers["hubspot"] = HubSpotWebhooks(settings.hubspot_client_secret.get_secret_value())
    if settings.salesforce_webhook_token and settings.salesforce_organization_id:
        token = settings.salesforce_webhook_token.get_secret_value()
        readers["salesforce"] = SalesforceWebhooks(token, settings.salesforce_organization_id)
    return readers


def _signature(secret: str, *parts: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), b"".join(parts), hashlib.sha256).digest()).decode()


class ZendeskWebhooks:
    """Signed over time and body."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def read(self, delivery: Delivery, now: float) -> Notice:
        """See webhooks.WebhookReader."""
        sent = delivery.headers.get("x-zendesk-webhook-signature-timestamp", "")
        signature = _signature(self._secret, sent.encode(), delivery.body)
        check_signature(signature, delivery.headers.get("x-zendesk-webhook-signature", ""))
        check_time(datetime.fromisoformat(sent).timestamp(), now)
        event = json.loads(delivery.body)
        detail: dict[str, Any] = event["detail"]
        tags = [_record("zendesk", detail["id"])]
        if detail.get("requester_id"):
            tags.append(_record("zendesk", detail["requester_id"]))
        if "@" in (detail.get("email") or ""):
            tags.append(email_tag(detail["email"].lower()))
        return Notice(signature, frozenset(tags))


class HubSpotWebhooks:
    """Signed over method, URL, body and time; a list of events."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def read(self, delivery: Delivery, now: float) -> Notice:
        """See webhooks.WebhookReader."""
        sent = delivery.headers.get("x-hubspot-request-timestamp", "")
        signature = _signature(self._secret, b"POST", delivery.url.encode(), delivery.body, sent.encode())
        check_signature(signature, delivery.headers.get("x-hubspot-signature-v3", ""))
        check_time(int(sent) / 1000, now)
        tags = [tag for event in json.loads(delivery.body) for tag in self._tags(event)]
        return Notice(signature, frozenset(tags))

    def _tags(self, event: dict[str, Any]) -> list[str]:
        kind, _, what = event["subscriptionType"].partition(".")
        if kind == "ticket" and what != "propertyChange":
            # It does not say whose ticket it is.
            return [source_tag("hubspot")]
        tags = [_record("hubspot", event["objectId"])]
        if event.get("propertyName") == "email" and "@" in (event.get("propertyValue") or ""):
            tags.append(email_tag(event["propertyValue"].lower()))
        # A new contact may be anybody who was not known before.
        return [*tags, source_tag("hubspot")] if what == "creation" else tags


class SalesforceWebhooks:
    """Not signed: a secret in the URL, and the organisation."""

    def __init__(self, token: str, organization: str) -> None:
        self._token = token
        self._organization = organization

    def read(self, delivery: Delivery, now: float) -> Notice:
        """See webhooks.WebhookReader."""
        check_signature(self._token, delivery.query.get("token", ""))
        if b"<!" in delivery.body:
            raise ValueError("a document type is never needed")
        body = Xml.fromstring(delivery.body).find(f".//{OUTBOUND}notifications")  # noqa: S314 - no entities, see above
        if body is None:
            raise ValueError("no notifications")
        if body.findtext(f"{OUTBOUND}OrganizationId") != self._organization:
            raise Denied("The organisation is another one.")
        every = body.findall(f"{OUTBOUND}Notification")
        names = "/".join(each.findtext(f"{OUTBOUND}Id") or "" for each in every)
        tags = [tag for each in every for tag in self._tags(each)]
        return Notice(hashlib.sha256(names.encode()).hexdigest(), frozenset(tags), ACK, "text/xml")

    def _tags(self, notification: Xml.Element) -> list[str]:
        record = notification.find(f"{OUTBOUND}sObject")
        if record is None:
            raise ValueError("no sObject")
        fields = {field.tag.partition("}")[2]: field.text or "" for field in record}
        tags = [_record("salesforce", fields[name]) for name in ("Id", "ContactId", "ParentId") if fields.get(name)]
        return tags + [email_tag(fields[name].lower()) for name in ("Email", "SuppliedEmail") if fields.get(name)]


def _record(source: str, number: object) -> str:
    return record_tag(Reference(source, str(number)))
