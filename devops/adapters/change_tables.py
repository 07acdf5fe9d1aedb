"""Tables of changes, and how their rows become changes."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, MetaData, RowMapping, String, Table

from devops.changes.change import Approval, Blast, Change, Draft, Entry, Glass, Plan, Requirement, Switch, Target
from devops.changes.people import actor_from

metadata = MetaData()
changes = Table(
    "changes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(100), nullable=False),
    Column("person", String(256), nullable=False),
    Column("environment", String(64), nullable=False),
    Column("state", String(24), nullable=False),
    # Counts the steps; each takes the change from one version to the next, so no two can start from the same one.
    Column("version", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("draft", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("outcome", String(4000)),
    Column("owner", String(200)),
    Column("lease_until", Float),
    Index("changes_by_state", "state", "created_at"),
    Index("changes_by_tenant", "tenant", "created_at", "id"),
    Index("changes_by_person", "tenant", "person", "environment", "created_at"),
)
journal = Table(
    "change_journal",
    metadata,
    Column("change_id", String(40), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("state", String(24), nullable=False),
    Column("by", String(300), nullable=False),
    Column("detail", JSON, nullable=False),
)
approvals = Table(
    "change_approvals",
    metadata,
    Column("change_id", String(40), primary_key=True),
    Column("person", String(256), primary_key=True),
    Column("actor", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("at", Float, nullable=False),
)
switches = Table(
    "change_switches",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("off", Boolean, nullable=False),
    Column("by", String(300), nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("at", Float, nullable=False),
)
CHANGES = "changes"
"""Name of the one switch."""


def row_of(draft: Draft, now: float) -> dict[str, Any]:
    """A new change as a row."""
    return {
        "id": draft.id,
        "tenant": draft.requester.tenant,
        "person": draft.requester.person,
        "environment": draft.environment,
        "state": "planned",
        "version": 0,
        "digest": draft.digest,
        "draft": asdict(draft),
        "created_at": draft.created_at,
        "expires_at": draft.expires_at,
        "updated_at": now,
    }


def draft_of(stored: dict[str, Any]) -> Draft:
    """The reverse of `asdict`."""
    plan = stored["plan"]
    return Draft(
        **{
            **stored,
            "requester": actor_from(stored["requester"]),
            "target": Target(**stored["target"]),
            "requirement": Requirement(**stored["requirement"]),
            "plan": Plan(**{**plan, "blast": Blast(**plan["blast"])}),
        }
    )


def change_of(row: RowMapping, given: Sequence[RowMapping] = (), glass: Glass | None = None) -> Change:
    """A row with its approvals and its newest break-glass."""
    return Change(
        draft=draft_of(row["draft"]),
        state=row["state"],
        version=row["version"],
        updated_at=row["updated_at"],
        outcome=row["outcome"],
        owner=row["owner"],
        lease_until=row["lease_until"],
        approvals=[Approval(actor_from(each["actor"]), each["digest"], each["at"]) for each in given],
        glass=glass,
    )


def entry_of(row: RowMapping) -> Entry:
    """A row of the journal."""
    return Entry(row["at"], row["state"], row["by"], row["detail"])


def switch_of(row: RowMapping | None) -> Switch:
    """The switch; none means on."""
    return Switch(row["off"], row["by"], row["reason"], row["at"]) if row else Switch()
