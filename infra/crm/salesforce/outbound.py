"""Outbound messages: SOAP notifications, repeated until the listener acknowledges.

SOAP API guide, "Outbound Messaging". Salesforce does not sign them: a listener checks the client certificate (two-way
TLS), and the organization's id. Over loopback the secret part of the subscriber's URL stands for the certificate.
"""

import itertools
from xml.etree import ElementTree as Xml
from xml.sax.saxutils import escape

from infra.crm.ids import salesforce_id
from infra.crm.platform import Change, Delivery
from infra.crm.salesforce.auth import ORGANIZATION

_numbers = itertools.count(1)
ACTION = salesforce_id("04k", 1)


def deliveries(change: Change, base_url: str) -> list[Delivery]:
    """One message with one notification; nothing is sent for deletions, as there."""
    if change.action == "deleted":
        return []
    kind, record = change.kind, change.record
    fields = "".join(
        f"<sf:{name}>{escape(str(value).lower() if isinstance(value, bool) else str(value))}</sf:{name}>"
        for name, value in record.items()
        if value is not None and name != "Id"
    )
    body = f"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>\
<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>{ORGANIZATION}</OrganizationId>\
<ActionId>{ACTION}</ActionId><SessionId xsi:nil="true"/>\
<EnterpriseUrl>{base_url}/services/Soap/c/67.0</EnterpriseUrl><PartnerUrl>{base_url}/services/Soap/u/67.0</PartnerUrl>\
<Notification><Id>{salesforce_id("04l", next(_numbers))}</Id>\
<sObject xsi:type="sf:{kind}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com"><sf:Id>{record["Id"]}</sf:Id>\
{fields}</sObject>\
</Notification></notifications></soapenv:Body></soapenv:Envelope>"""
    return [Delivery(body.encode(), {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'})]


def acknowledged(body: bytes) -> bool:
    """Whether the listener answered with Ack true; anything else is sent again."""
    if len(body) > 10_000 or b"<!" in body:
        return False
    try:
        ack = Xml.fromstring(body).find(".//{http://soap.sforce.com/2005/09/outbound}Ack")  # noqa: S314 - no entities
    except (Xml.ParseError, LookupError, ValueError):  # the last two: encodings that are not known
        return False
    return ack is not None and ack.text == "true"
