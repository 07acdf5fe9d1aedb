"""What a question is restricted to. Every backend translates it."""

from dataclasses import dataclass

from common.security.access import AccessScope


@dataclass(frozen=True)
class Restriction:
    """Which versions of which documents a query may see; each backend applies all of it inside its query."""

    scope: AccessScope
    as_of: float | None = None
    """The versions that counted at this time, in seconds since 1970; default: the current ones. Rights are of now."""
