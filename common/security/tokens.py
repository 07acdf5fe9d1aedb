"""Tokens that the installation signs itself (HS256): development tokens and console sessions."""

import time
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from common.security.signing import Keys, Purpose

DEVELOPMENT = "development-token"


class OwnTokens:
    """Signs and checks tokens of one purpose; a token of another purpose does not pass."""

    def __init__(self, keys: Keys, purpose: str) -> None:
        self._keys = Purpose(keys, purpose)
        self._issuer = f"triptych:{purpose}"
        self._claims = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self._issuer}, exp={"essential": True}, sub={"essential": True}
        )

    def issue(self, claims: dict[str, Any], seconds: float) -> str:
        """A token that is valid for `seconds`."""
        now = int(time.time())
        body = {**claims, "iss": self._issuer, "iat": now, "exp": int(now + seconds)}
        return jwt.encode({"alg": "HS256"}, body, OctKey.import_key(self._keys.newest.secret))

    def check(self, token: str) -> dict[str, Any] | None:
        """The claims, or None if it is forged, expired or of another purpose."""
        return next((claims for key in self._keys.accepted if (claims := self._read(token, key.secret))), None)

    def _read(self, token: str, secret: bytes) -> dict[str, Any] | None:
        try:
            decoded = jwt.decode(token, OctKey.import_key(secret), algorithms=["HS256"])
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError):
            return None
        return dict(decoded.claims)
