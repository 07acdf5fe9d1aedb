"""A restriction as the SQL that Lance applies before it searches."""

from common.security.access import AccessScope
from knowledge_base.filters import Restriction

STILL = 1e18
"""`superseded_at` of a version that nothing has superseded."""


def where(restriction: Restriction) -> str:
    """All of a restriction."""
    return f"{access_filter(restriction.scope)} AND {time_filter(restriction.as_of)}"


def access_filter(scope: AccessScope) -> str:
    """The access rule."""
    return f"{tenant_filter(scope)} AND {clearance_filter(scope)} AND {readers_filter(scope)}"


def tenant_filter(scope: AccessScope) -> str:
    """Rows of the caller's tenant."""
    return f"tenant = {literal(scope.tenant)}"


def clearance_filter(scope: AccessScope) -> str:
    """Rows that the caller is cleared for."""
    return f"level <= {scope.level:d}"


def readers_filter(scope: AccessScope) -> str:
    """Rows that name nobody, a group of the caller, or the caller."""
    return f"array_has_any(readers, [{', '.join(literal(label) for label in scope.labels)}])"


def time_filter(as_of: float | None) -> str:
    """Versions that count now, or that did at a time."""
    if as_of is None:
        return f"superseded_at = {STILL!r}"
    return f"published_at <= {float(as_of)!r} AND superseded_at > {float(as_of)!r}"


def literal(text: str) -> str:
    """A string of Lance's SQL, in which only the quote is special."""
    return "'" + text.replace("'", "''") + "'"
