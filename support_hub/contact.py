"""Reads how the caller names a customer."""

import re

from common.errors import InvalidInput
from support_hub.phones import normalised
from support_hub.ports import Contact
from support_hub.records import Reference

_EMAIL = re.compile(r"[^@\s\"<>()\\,;:]{1,64}@[^@\s\"<>()\\,;:]{1,255}")
_REFERENCE = re.compile(r"([a-z][a-z0-9_-]{0,39}):([A-Za-z0-9_-]{1,64})")
NAME_ONE = "Give exactly one of email, phone and customer_id."


def read_contact(email: str | None, phone: str | None, customer_id: str | None, region: str) -> Contact:
    """The contact, in the form that sources compare. Raises InvalidInput."""
    if sum(value is not None for value in (email, phone, customer_id)) != 1:
        raise InvalidInput(NAME_ONE)
    if email is not None:
        return Contact(email=read_email(email))
    if phone is not None:
        return Contact(phone=read_phone(phone, region))
    return Contact(reference=read_reference(str(customer_id)))


def read_email(text: str) -> str:
    """In lower case. Raises InvalidInput."""
    if not _EMAIL.fullmatch(text.strip()):
        raise InvalidInput("This is no e-mail address.", "Give one such as name@company.example.")
    return text.strip().lower()


def read_phone(text: str, region: str) -> str:
    """In E.164. Raises InvalidInput."""
    if not (number := normalised(text, region)):
        raise InvalidInput("This is no telephone number.", "Give it with its country code, such as +44 131 496 0641.")
    return number


def read_reference(text: str) -> Reference:
    """`zendesk:123`. Raises InvalidInput."""
    if not (match := _REFERENCE.fullmatch(text.strip())):
        raise InvalidInput("This is no id.", "Ids are written source:id, such as zendesk:123.")
    return Reference(match[1], match[2])
