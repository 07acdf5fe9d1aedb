"""Who calls the gateway, and the token that proves it."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from common.security.identity import Credentials
from common.security.principal import Principal, principal_from_claims

BEARER = "bearer "


@dataclass(frozen=True)
class Caller:
    """A caller whose token was checked."""

    principal: Principal
    token: str = field(repr=False)
    address: str = ""

    @property
    def authorization(self) -> str:
        return f"Bearer {self.token}"

    @cached_property
    def digest(self) -> bytes:
        """Of the token: what is remembered in place of it."""
        return hashlib.sha256(self.token.encode()).digest()


async def caller_of(headers: Mapping[str, str], address: str, credentials: Credentials) -> Caller | None:
    """None if there is no valid token; why is never told."""
    given = headers.get("authorization", "")
    if given[:7].lower() != BEARER:
        return None
    token = given[7:].strip()
    access = await credentials.verify_token(token)
    if access is None or (access.expires_at is not None and access.expires_at < time.time()):
        return None
    return Caller(principal_from_claims(access.claims), token, address)
