"""The realm of compose.yaml, and the tokens that Keycloak would make by it."""

import json
import secrets
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

PATH = Path(__file__).parents[2] / "infra" / "compose" / "keycloak" / "triptych-realm.json"
REALM: dict[str, Any] = json.loads(PATH.read_text())
[SCOPE] = REALM["clientScopes"]


def claims_of(person: dict[str, Any], mappers: list[dict[str, Any]]) -> dict[str, Any]:
    """What these mappers put into an access token, as Keycloak's documentation says."""
    claims: dict[str, Any] = {}
    for mapper in mappers:
        config = mapper["config"]
        assert config["access.token.claim"] == "true", mapper["name"]
        match mapper["protocolMapper"]:
            case "oidc-sub-mapper":
                claims["sub"] = person["id"]
            case "oidc-audience-mapper":
                claims["aud"] = config["included.custom.audience"]
            case "oidc-usermodel-realm-role-mapper":
                assert config["multivalued"] == "true"
                claims[config["claim.name"]] = person["roles"]
            case "oidc-group-membership-mapper":
                full = config["full.path"] == "true"
                claims[config["claim.name"]] = [g if full else g.rpartition("/")[2] for g in person["groups"]]
            case "oidc-usermodel-attribute-mapper":
                if value := person["attributes"].get(config["user.attribute"]):
                    claims[config["claim.name"]] = value
            case other:
                pytest.fail(f"{other} is not known here")
    return claims


class Issuer:
    """Signs as the realm does."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)}, private=True)

    @property
    def published(self) -> dict[str, object]:
        """The keys that may be seen."""
        return dict(KeySet([self._key]).as_dict(private=False))

    def token(self, person: dict[str, Any]) -> str:
        """Of somebody who has just signed in."""
        algorithm, now = REALM["defaultSignatureAlgorithm"], int(time.time())
        times = {"iat": now, "exp": now + REALM["accessTokenLifespan"]}
        claims = {"iss": self._url, **times, **claims_of(person, SCOPE["protocolMappers"])}
        return jwt.encode({"alg": algorithm, "kid": self._key.kid}, claims, self._key, algorithms=[algorithm])
