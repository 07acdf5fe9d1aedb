"""The realm of the compose file gives tokens as `identity.py` reads them, and has nothing that opens it."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.security.principal import Principal, principal_from_claims

PATH = Path(__file__).parents[2] / "infra" / "compose" / "keycloak" / "triptych-realm.json"
REALM: dict[str, Any] = json.loads(PATH.read_text())
[SCOPE] = REALM["clientScopes"]
[CLIENT] = REALM["clients"]
PERSON = {
    "id": "b5c1",
    "roles": ["user", "editor"],
    "groups": ["/engineering"],
    "attributes": {"tenant": "acme", "clearance": "confidential"},
}


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


def test_its_tokens_are_read_as_the_person_they_are_of() -> None:
    claims = claims_of(PERSON, SCOPE["protocolMappers"])
    expected = Principal("b5c1", "acme", frozenset({"user", "editor"}), frozenset({"engineering"}), "confidential")
    assert principal_from_claims(claims) == expected
    assert claims["aud"] == "triptych"
    assert SCOPE["name"] in CLIENT["defaultClientScopes"], "a client cannot leave it out"
    nobody = principal_from_claims(claims_of({**PERSON, "attributes": {}, "roles": []}, SCOPE["protocolMappers"]))
    assert (nobody.tenant, nobody.clearance, nobody.roles) == ("", "public", frozenset())


def test_clients_are_public_and_must_use_pkce() -> None:
    assert CLIENT["publicClient"] and CLIENT["attributes"]["pkce.code.challenge.method"] == "S256"
    for flow in ("implicitFlowEnabled", "directAccessGrantsEnabled", "serviceAccountsEnabled"):
        assert CLIENT[flow] is False
    assert all(uri.startswith(("http://localhost/", "http://127.0.0.1/")) for uri in CLIENT["redirectUris"])
    assert CLIENT["webOrigins"] == []


def test_nobody_gives_himself_rights() -> None:
    [component] = REALM["components"]["org.keycloak.userprofile.UserProfileProvider"]
    [profile] = component["config"]["kc.user.profile.config"]
    read = json.loads(profile)
    by_name = {attribute["name"]: attribute for attribute in read["attributes"]}
    for name in ("tenant", "clearance"):
        assert by_name[name]["permissions"]["edit"] == ["admin"]
    assert by_name["clearance"]["validations"]["options"]["options"] == [
        "public",
        "internal",
        "confidential",
        "restricted",
    ]
    assert read["unmanagedAttributePolicy"] == "ADMIN_VIEW", "no attribute that is not named here"
    assert REALM["registrationAllowed"] is False


def test_it_brings_no_password_and_no_secret() -> None:
    assert "users" not in REALM
    text = PATH.read_text()
    for word in ('"secret"', '"credentials"', '"privateKey"', '"secretData"', '"value"'):
        assert word not in text
    assert REALM["bruteForceProtected"] and REALM["sslRequired"] == "external"
    assert REALM["accessTokenLifespan"] <= 300 and REALM["defaultSignatureAlgorithm"] == "RS256"


def test_it_has_every_role_that_a_policy_names() -> None:
    roles = {role["name"] for role in REALM["roles"]["realm"]}
    policies = [path for folder in ("common", "knowledge_base", "devops", "support_hub") for path in named(folder)]
    assert policies
    for path in policies:
        for line in path.read_text().splitlines():
            if "principal.roles." in line:
                assert set(line.split('"')[1::2]) <= roles, (path, line)


def named(folder: str) -> list[Path]:
    return sorted((PATH.parents[3] / folder).rglob("*.cedar"))
