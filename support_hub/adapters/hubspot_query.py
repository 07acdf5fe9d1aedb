"""HubSpot's searches. They are JSON: a value stays a value. Limits: 5 groups, 6 filters each, 18 in all."""

from datetime import datetime
from typing import Any

from support_hub.adapters.hubspot_records import PRIORITIES, STAGES
from support_hub.phones import spellings
from support_hub.ports import TicketQuery

MOST_QUERY = 3000
LAST_DIGITS = 7


def one_of(name: str, values: list[str]) -> dict[str, Any]:
    """The property has one of these values."""
    return {"propertyName": name, "operator": "IN", "values": values}


def compared(name: str, operator: str, value: str) -> dict[str, Any]:
    """One filter."""
    return {"propertyName": name, "operator": operator, "value": value}


def by_phone(number: str) -> list[dict[str, Any]]:
    """Groups for a number however it was typed; what fits only in its end is sorted out afterwards."""
    typed = [spelling.lower() for spelling in spellings(number)]
    groups = []
    for name in ("phone", "mobilephone"):
        groups.append({"filters": [one_of(name, typed)]})
        groups.append({"filters": [compared(name, "CONTAINS_TOKEN", f"*{number[-LAST_DIGITS:]}")]})
    return groups


def by_email(email: str) -> list[dict[str, Any]]:
    """A contact that has the address as a further one."""
    return [{"filters": [compared("hs_additional_emails", "CONTAINS_TOKEN", email)]}]


def ticket_filters(query: TicketQuery, contacts: list[str], until: datetime | None) -> list[dict[str, Any]]:
    """One group: all of it has to hold."""
    filters = []
    if query.statuses:
        # Solved and closed are one stage.
        wanted = {"closed" if status == "solved" else status for status in query.statuses}
        filters.append(one_of("hs_pipeline_stage", [stage for stage, status in STAGES.items() if status in wanted]))
    if query.priorities:
        names = [name for name, priority in PRIORITIES.items() if name and priority in query.priorities]
        filters.append(one_of("hs_ticket_priority", names))
    if contacts:
        filters.append({"propertyName": "associations.contact", "operator": "IN", "values": contacts})
    if query.created_since:
        filters.append(compared("createdate", "GTE", milliseconds(query.created_since)))
    if query.updated_since:
        filters.append(compared("hs_lastmodifieddate", "GTE", milliseconds(query.updated_since)))
    if until:
        filters.append(compared("hs_lastmodifieddate", "LTE", milliseconds(until)))
    return [{"filters": filters}] if filters else []


def milliseconds(moment: datetime) -> str:
    """Since 1970."""
    return str(round(moment.timestamp() * 1000))
