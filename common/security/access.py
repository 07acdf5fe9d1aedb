"""The access rule for documents, once. Every backend translates `AccessScope`; tests hold them equal to `may_read`.

The rule: same tenant, AND clearance >= classification (public < internal < confidential < restricted),
AND (the document names no groups and no owners, OR a group matches, OR the caller is an owner).
No other exception: no owner bypasses clearance, no admin sees all by being admin.
"""

from dataclasses import dataclass, field
from typing import get_args

from common.settings import Classification

LEVELS: dict[str, int] = {name: level for level, name in enumerate(get_args(Classification))}
ANYONE = "*"


@dataclass(frozen=True)
class Access:
    """Who may read a document of a tenant."""

    classification: Classification = "internal"
    groups: frozenset[str] = field(default_factory=frozenset)
    owners: frozenset[str] = field(default_factory=frozenset)

    @property
    def level(self) -> int:
        return LEVELS[self.classification]

    @property
    def readers(self) -> list[str]:
        """Groups and owners as one list of labels, so that a backend needs one `any of` filter."""
        labels = [f"g:{group}" for group in self.groups] + [f"u:{owner}" for owner in self.owners]
        return sorted(labels) or [ANYONE]


@dataclass(frozen=True)
class AccessScope:
    """What a caller may read."""

    tenant: str
    subject: str
    groups: frozenset[str] = field(default_factory=frozenset)
    clearance: Classification = "public"

    @property
    def level(self) -> int:
        return LEVELS[self.clearance]

    @property
    def labels(self) -> list[str]:
        """The reader labels that this caller matches."""
        return [ANYONE, f"u:{self.subject}", *(f"g:{group}" for group in sorted(self.groups))]


def may_read(scope: AccessScope, tenant: str, access: Access) -> bool:
    """The reference predicate, word for word."""
    if scope.tenant != tenant or scope.level < access.level:
        return False
    if not access.groups and not access.owners:
        return True
    return bool(access.groups & scope.groups) or scope.subject in access.owners
