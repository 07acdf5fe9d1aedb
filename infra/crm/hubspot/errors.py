"""HubSpot's error answers. Shapes: developers.hubspot.com, "Error handling" and "Usage guidelines"."""

import uuid
from typing import Any

from infra.crm.calls import Refused

AUTH_DOCS = "https://developers.hubspot.com/docs/methods/auth/oauth-overview"


def error(status: int, category: str, message: str, **more: Any) -> Refused:
    """Every error has a correlation id and a category."""
    body = {"status": "error", "message": message, "correlationId": str(uuid.uuid4()), "category": category}
    return Refused({**body, **more}, status)


def not_found() -> Refused:
    """404 of a record."""
    return error(404, "OBJECT_NOT_FOUND", "resource not found")


def validation(message: str, **more: Any) -> Refused:
    """400."""
    return error(400, "VALIDATION_ERROR", message, **more)


def bad_properties(name: str, problem: str, code: str) -> Refused:
    """400 of a property that cannot be written."""
    detail = f'[{{"isValid":false,"message":"{problem}","error":"{code}","name":"{name}"}}]'
    errors = [{"message": problem, "code": code, "context": {"propertyName": [name]}}]
    return validation(f"Property values were not valid: {detail}", errors=errors)


def conflict(existing: str) -> Refused:
    """409 of a contact whose e-mail is taken."""
    return error(409, "CONFLICT", f"Contact already exists. Existing ID: {existing}")


def unauthenticated() -> Refused:
    """401 without a usable token."""
    text = "Authentication credentials not found. This API supports OAuth 2.0 authentication"
    return error(401, "INVALID_AUTHENTICATION", f"{text} and you can find more details at {AUTH_DOCS}")


def expired() -> Refused:
    """401 of a token that has ended."""
    text = "The OAuth token used to make this call expired 1 second(s) ago."
    return error(401, "EXPIRED_AUTHENTICATION", text)


def throttled(policy: str) -> Refused:
    """429; the policy is SECONDLY, TEN_SECONDLY_ROLLING or DAILY."""
    limit = {"SECONDLY": "secondly", "DAILY": "daily"}.get(policy, "ten_secondly_rolling")
    body = {
        "status": "error",
        "message": f"You have reached your {limit} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": str(uuid.uuid4()),
        "policyName": policy,
        "requestId": str(uuid.uuid4()),
    }
    return Refused(body, 429)
