"""Times as the platforms write them."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def salesforce_time(moment: datetime) -> str:
    """2026-10-20T08:00:00.000+0000."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def hubspot_time(moment: datetime) -> str:
    """2026-10-20T08:00:00.000Z."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def zendesk_time(moment: datetime) -> str:
    """2026-10-20T08:00:00Z."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def parse_time(text: str) -> datetime | None:
    """A date or a time of one of these shapes, or None. What names no zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
