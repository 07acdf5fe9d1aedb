"""Zendesk's error answers. Shapes: developer.zendesk.com, introduction/requests and the pages of each resource."""

from typing import Any

from infra.crm.calls import Refused


def not_found() -> Refused:
    """404."""
    return Refused({"error": "RecordNotFound", "description": "Not found"}, 404)


def no_route() -> Refused:
    """404 of a path that does not exist."""
    return Refused(
        {"error": {"title": "No help desk at this path", "message": "There is no resource at this path"}}, 404
    )


def invalid(details: dict[str, list[dict[str, Any]]]) -> Refused:
    """422 of a record that cannot be written."""
    return Refused({"error": "RecordInvalid", "description": "Record validation errors", "details": details}, 422)


def blank(field: str) -> Refused:
    """422 of a missing field."""
    text = f"{field.capitalize()}: cannot be blank"
    return invalid({field: [{"description": text, "error": "BlankValue"}]})


def bad_request(title: str, message: str) -> Refused:
    """400 of a parameter that cannot be used."""
    return Refused({"error": {"title": title, "message": message}}, 400)


def conflict() -> Refused:
    """409 of a safe update that comes too late."""
    text = (
        "Safe Update prevented the update due to outdated ticket data. "
        "Please fetch the latest ticket data and try again."
    )
    return Refused({"error": "UpdateConflict", "description": text}, 409)


def search_limit() -> Refused:
    """422 beyond the 1,000th result."""
    text = "Invalid search: Requested response size was greater than Search Response Limits"
    return Refused({"error": "invalid", "description": text}, 422)


def throttled(retry_after: float) -> Refused:
    """429."""
    body = {"error": "APIRateLimitExceeded", "description": "Number of allowed API requests per minute exceeded"}
    return Refused(body, 429, {"Retry-After": str(max(1, round(retry_after + 0.5)))})


def unauthenticated() -> Refused:
    """401 without usable credentials."""
    return Refused({"error": "Couldn't authenticate you"}, 401, {"WWW-Authenticate": 'Basic realm="Web Password"'})


def invalid_token() -> Refused:
    """401 of an access token that has ended."""
    text = "The access token provided is expired, revoked, malformed or invalid for other reasons."
    header = f'Bearer realm="Zendesk", error="invalid_token", error_description="{text}"'
    return Refused({"error": "invalid_token", "error_description": text}, 401, {"WWW-Authenticate": header})
