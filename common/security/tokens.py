"""Tokens that the installation signs itself (HS256): development tokens and console sessions."""

import time
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from common.security.signing import SigningKey

DEVELOPMENT = "development-token"


class OwnTokens:
    """Signs and checks tokens of one purpose; a token of another purpose does not pass."""

    def __init__(self, key: SigningKey, purpose: str) -> None:
        self._key = OctKey.import_key(key.derive(purpose))
        self._issuer = f"triptych:{purpose}"
        self._claims = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self._issuer}, exp={"essential": True}, sub={"essential": True}
        )

    def issue(self, claims: dict[str, Any], seconds: float) -> str:
        """A token that is valid for `seconds`."""
        now = int(time.time())
        body = {**claims, "iss": self._issuer, "iat": now, "exp": int(now + seconds)}
        return jwt.encode({"alg": "HS256"}, body, self._key)

    def check(self, token: str) -> dict[str, Any] | None:
        """The claims, or None if it is forged, expired or of another purpose."""
        try:
            decoded = jwt.decode(token, self._key, algorithms=["HS256"])
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError):
            return None
        return dict(decoded.claims)
