"""Who calls: API keys, JWTs of the configured issuer, and development tokens in the embedded profile."""

import time
from typing import Any

from fastmcp.server.auth import AccessToken, AuthProvider, JWTVerifier, RemoteAuthProvider, TokenVerifier
from fastmcp.server.dependencies import get_access_token
from joserfc.jws import extract_compact
from pydantic import AnyHttpUrl

from common.errors import SettingsError
from common.security.api_key_stores import ApiKeys, FileApiKeys
from common.security.api_keys import PREFIX, ApiKeyStore, api_keys_path
from common.security.principal import ANONYMOUS, Principal, principal_from_claims
from common.security.signing import Keys
from common.security.tokens import DEVELOPMENT, OwnTokens
from common.settings import CommonSettings

JWKS_SECONDS = 300
"""For so long the issuer's keys are kept, and a withdrawn one is believed; a new one is looked for before."""
JWKS_PAUSE_SECONDS = 5.0
"""Between two looks: tokens of unknown keys, which anybody can make up, must not turn into requests to the issuer."""


def _access_token(token: str, principal: Principal, expires: float | None) -> AccessToken:
    claims = {
        "sub": principal.subject,
        "tenant": principal.tenant,
        "roles": sorted(principal.roles),
        "groups": sorted(principal.groups),
        "clearance": principal.clearance,
        "scope": " ".join(sorted(principal.scopes)),
        "key_id": principal.key_id,
    }
    return AccessToken(
        token=token,
        client_id=principal.key_id or principal.subject,
        subject=principal.subject,
        scopes=[],
        expires_at=int(expires) if expires else None,
        claims=claims,
    )


class Credentials(TokenVerifier):
    """Checks a bearer token. Every kind of token ends in the same claims."""

    def __init__(self, settings: CommonSettings, keys: Keys, api_keys: ApiKeys | None = None) -> None:
        super().__init__()
        self.keys = api_keys or FileApiKeys(ApiKeyStore(api_keys_path(settings)))
        self._development = OwnTokens(keys, DEVELOPMENT) if settings.profile == "embedded" else None
        self._issuer = _issuer_verifiers(settings)

    @property
    def api_keys(self) -> ApiKeyStore:
        """The keys in a file. Raises TypeError if they are elsewhere."""
        if not isinstance(self.keys, FileApiKeys):
            raise TypeError("the keys are in the database")
        return self.keys.store

    async def verify_token(self, token: str) -> AccessToken | None:
        """The caller's claims, or None: the reason is never told to the caller."""
        if token.startswith(PREFIX):
            key = await self.keys.verify(token)
            return _access_token(token, key.principal, key.expires) if key else None
        algorithm = _algorithm(token)
        if algorithm == "HS256" and self._development:
            claims = self._development.check(token)
            return _access_token(token, principal_from_claims(claims), claims["exp"]) if claims else None
        verifier = self._issuer.get(algorithm)
        return await _verify_jwt(verifier, token) if verifier else None


def _algorithm(token: str) -> str:
    try:
        return str(extract_compact(token.encode()).headers().get("alg", ""))
    except Exception:
        return ""  # whatever it is, it is not a token


async def _verify_jwt(verifier: JWTVerifier, token: str) -> AccessToken | None:
    access = await verifier.verify_token(token)
    if access is None or not access.claims.get("sub"):
        return None
    # FastMCP accepts a token without `exp` and does not look at `nbf`.
    if not _is_number(access.claims.get("exp")) or _starts_later(access.claims.get("nbf")):
        return None
    principal = principal_from_claims({**access.claims, "key_id": None})
    return _access_token(token, principal, access.claims["exp"])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _starts_later(not_before: Any, leeway_seconds: float = 30) -> bool:
    return not_before is not None and (not _is_number(not_before) or not_before > time.time() + leeway_seconds)


def _verifier(settings: CommonSettings, algorithm: str) -> JWTVerifier:
    verifier = JWTVerifier(
        jwks_uri=settings.oauth_jwks_uri,
        issuer=settings.oauth_issuer,
        audience=settings.oauth_audience,
        algorithm=algorithm,
        jwks_refresh_interval=JWKS_PAUSE_SECONDS,
    )
    # FastMCP has no setting for it, and keeps keys for an hour.
    verifier._cache_ttl = JWKS_SECONDS
    return verifier


def _issuer_verifiers(settings: CommonSettings) -> dict[str, JWTVerifier]:
    """One verifier per accepted algorithm, so that a token cannot choose how it is checked."""
    if settings.oauth_issuer is None:
        return {}
    missing = [name for name in ("oauth_audience", "oauth_jwks_uri") if getattr(settings, name) is None]
    if missing:
        names = ", ".join(f"TRIPTYCH_{name.upper()}" for name in missing)
        raise SettingsError(f"TRIPTYCH_OAUTH_ISSUER is set, so {names} must be set too")
    if any(not name.startswith(("RS", "ES", "PS", "Ed")) for name in settings.oauth_algorithms):
        raise SettingsError("TRIPTYCH_OAUTH_ALGORITHMS may name asymmetric algorithms only (RS256, ES256, ...)")
    return {algorithm: _verifier(settings, algorithm) for algorithm in settings.oauth_algorithms}


def build_auth(settings: CommonSettings, credentials: Credentials, base_url: str) -> AuthProvider:
    """The auth provider; with an issuer, a refused client is told where to sign in (RFC 9728)."""
    if settings.oauth_issuer is None:
        return credentials
    servers = [AnyHttpUrl(settings.oauth_issuer)]
    return RemoteAuthProvider(credentials, servers, base_url=settings.public_url or base_url)


def resource_metadata(settings: CommonSettings, base_url: str) -> dict[str, Any]:
    """OAuth 2.0 protected resource metadata (RFC 9728, section 2)."""
    servers = {"authorization_servers": [settings.oauth_issuer]} if settings.oauth_issuer else {}
    resource = f"{(settings.public_url or base_url).rstrip('/')}/mcp"
    return {"resource": resource, "bearer_methods_supported": ["header"], **servers}


def caller_from_request(stdio: Principal | None) -> Principal:
    """The caller of the running request; over stdio the identity of the settings."""
    access = get_access_token()
    if access is not None:
        return principal_from_claims(access.claims)
    return stdio or ANONYMOUS
