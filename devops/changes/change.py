"""What is kept of a change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from devops.changes.people import Actor
from devops.changes.states import State
from devops.kinds import KINDS, Kind

Decision = Literal["allow", "confirm", "approve"]
Risk = Literal["low", "medium", "high", "critical"]
RISKS: tuple[Risk, ...] = ("low", "medium", "high", "critical")


@dataclass(frozen=True)
class Target:
    """One object of one cluster. `namespace` None: the object has none."""

    cluster: str
    kind: str
    namespace: str | None
    name: str

    @property
    def api(self) -> Kind:
        return KINDS[self.kind]

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Requirement:
    """What policy demands, by which version of the policy."""

    decision: Decision
    approvals: int
    policy_version: str


@dataclass(frozen=True)
class Blast:
    """Whom it reaches."""

    replicas: int = 0
    pods: Sequence[str] = ()
    pod_count: int = 0
    budgets: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """What would happen, as the server's dry run said."""

    summary: str
    diff: str
    blast: Blast
    reasons: Sequence[str] = ()
    """Why the risk is what it is."""
    undo: Mapping[str, Any] | None = None
    """Tool and arguments that take it back."""


@dataclass(frozen=True)
class Draft:
    """A planned change. The digest binds everything that whoever says yes has seen."""

    id: str
    requester: Actor
    tool: str
    target: Target
    operation: Mapping[str, Any]
    environment: str
    risk: Risk
    requirement: Requirement
    plan: Plan
    uid: str
    resource_version: str
    fingerprint: str
    """Of what mattered in the live object."""
    write: str
    """Digest of what will be sent."""
    digest: str
    created_at: float
    expires_at: float


@dataclass(frozen=True)
class Approval:
    """A yes of another person."""

    actor: Actor
    digest: str
    at: float


@dataclass(frozen=True)
class Glass:
    """Break-glass for one change: its requester asked, and a second person agreed, or did not. See glass.py."""

    id: str
    digest: str
    asker: Actor
    reason: str
    asked_at: float
    until: float
    """After which it is over, whatever has become of it."""
    second: Actor | None = None
    second_reason: str = ""
    agreed_at: float | None = None

    @property
    def is_agreed(self) -> bool:
        return self.second is not None

    def is_over(self, now: float) -> bool:
        """Whether nothing can be begun with it any more."""
        return now >= self.until


@dataclass(frozen=True)
class Entry:
    """One step in the journal."""

    at: float
    state: State
    by: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """A draft, and where it stands."""

    draft: Draft
    state: State
    version: int
    updated_at: float
    outcome: str | None = None
    owner: str | None = None
    lease_until: float | None = None
    approvals: Sequence[Approval] = field(default=())
    glass: Glass | None = None
    """The newest one of this change."""

    @property
    def id(self) -> str:
        return self.draft.id


@dataclass(frozen=True)
class HandFreeze:
    """A freeze that somebody set in the console; those of the settings are `Freeze`."""

    id: str
    environment: str
    """`*`: all of them."""
    start: float
    end: float
    reason: str
    by: str


@dataclass(frozen=True)
class Switch:
    """Off means that nothing is changed."""

    off: bool = False
    by: str = ""
    reason: str = ""
    at: float = 0.0
    freezes: Sequence[HandFreeze] = ()
    """Those of the console that are not over."""
