"""The caller, as every layer sees it."""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from common.security.access import LEVELS, AccessScope
from common.settings import Classification


@dataclass(frozen=True)
class Principal:
    """An identified caller. The default one has no rights at all."""

    subject: str = "anonymous"
    tenant: str = ""
    roles: frozenset[str] = field(default_factory=frozenset)
    groups: frozenset[str] = field(default_factory=frozenset)
    clearance: Classification = "public"
    scopes: frozenset[str] = field(default_factory=frozenset)
    key_id: str | None = None

    @property
    def scope(self) -> AccessScope:
        """What this caller may read."""
        return AccessScope(self.tenant, self.subject, self.groups, self.clearance)


ANONYMOUS = Principal()
current_principal: ContextVar[Principal] = ContextVar("current_principal", default=ANONYMOUS)


def _strings(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, Iterable):
        return frozenset(item for item in value if isinstance(item, str))
    return frozenset()


def principal_from_claims(claims: Mapping[str, Any]) -> Principal:
    """Read a principal from verified claims. What is missing or malformed gives no rights."""
    clearance = claims.get("clearance")
    return Principal(
        subject=str(claims["sub"]),
        tenant=str(claims.get("tenant") or ""),
        roles=_strings(claims.get("roles")),
        groups=_strings(claims.get("groups")),
        clearance=clearance if clearance in LEVELS else "public",
        scopes=_strings(claims.get("scope")),
        key_id=claims.get("key_id"),
    )
