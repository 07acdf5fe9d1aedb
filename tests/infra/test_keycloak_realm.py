"""The realm of the compose file gives tokens as `identity.py` reads them, and has nothing that opens it."""

import json
from pathlib import Path

from common.security.principal import Principal, principal_from_claims
from tests.support.realm import PATH, REALM, SCOPE, claims_of

[CLIENT] = REALM["clients"]
PERSON = {
    "id": "b5c1",
    "roles": ["user", "editor"],
    "groups": ["/engineering"],
    "attributes": {"tenant": "acme", "clearance": "confidential"},
}


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
