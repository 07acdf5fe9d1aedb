"""With which token a caller's request goes to a domain."""

import base64
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from common.errors import Denied
from common.security.access import LEVELS
from common.security.principal import Principal, principal_from_claims
from infra.gateway.caller import Caller

MOST_TOKENS = 10_000
RENEW_EARLY_SECONDS = 30.0


class Passport(Protocol):
    """What identifies the caller at one domain."""

    async def token(self, caller: Caller) -> str:
        """The token. Raises Denied, Unavailable."""


class OwnToken:
    """The caller's own token: the domain checks it as the gateway did."""

    async def token(self, caller: Caller) -> str:
        """See Passport."""
        return caller.token


@dataclass(frozen=True)
class Granted:
    """What the issuer gave for a token."""

    token: str = field(repr=False)
    seconds: float


class Issuer(Protocol):
    """Exchanges tokens (RFC 8693)."""

    async def exchange(self, token: str) -> Granted:
        """A token for the domain, for the same person. Raises Denied, Unavailable."""


class ExchangedToken:
    """A token that the issuer made of the caller's, for this domain alone. It never carries more rights than that."""

    def __init__(self, prefix: str, issuer: Issuer, clock: Callable[[], float] = time.monotonic) -> None:
        self._prefix = prefix
        self._issuer = issuer
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    async def token(self, caller: Caller) -> str:
        """See Passport."""
        if caller.principal.key_id is not None or caller.token.count(".") != 2:
            raise Denied(f"{self._prefix} takes tokens of the issuer alone.", "Sign in there instead of with a key.")
        ends_at, token = self._kept.get(caller.digest, (0.0, ""))
        if ends_at > self._clock():
            return token
        granted = await self._issuer.exchange(caller.token)
        if not is_within(claims_of(granted.token), caller.principal):
            raise Denied(f"The issuer's token for {self._prefix} is not one of yours.", "Tell the operator.")
        self._kept[caller.digest] = (self._clock() + granted.seconds - RENEW_EARLY_SECONDS, granted.token)
        while len(self._kept) > MOST_TOKENS:
            self._kept.popitem(last=False)
        return granted.token


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT claims; empty if it is none. The domain checks the signature, here it came from the issuer itself."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, IndexError):
        return {}
    return claims if isinstance(claims, dict) else {}


def is_within(claims: dict[str, Any], caller: Principal) -> bool:
    """Whether these are the same person's, with no more rights."""
    if claims.get("sub") != caller.subject:
        return False
    other = principal_from_claims(claims)
    return (
        other.tenant == caller.tenant
        and other.roles <= caller.roles
        and other.groups <= caller.groups
        and other.scopes <= caller.scopes
        and LEVELS[other.clearance] <= LEVELS[caller.clearance]
    )
