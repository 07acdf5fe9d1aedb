"""What every store of secrets promises, against files, moto's AWS and a stand-in for Vault."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.security.secret_settings import SecretSettings
from common.security.secret_stores.aws import AwsSecrets
from common.security.secret_stores.environment import EnvironmentSecrets
from common.security.secret_stores.vault import VaultSecrets
from common.security.secrets import SecretStore, SecretUnavailable
from tests.services.vault import Vault, serving

PATH = "prod/db"
VALUE = f"canary-{secrets.token_hex(8)}"


@dataclass
class Filled:
    """A store, and how somebody else changes it."""

    store: SecretStore
    put: Callable[[dict[str, str]], None]
    keeps_versions: bool = True


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    with serving() as vault:
        yield vault


@pytest.fixture(params=["env", "aws", "vault"])
def filled(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filled]:
    if request.param == "env":
        file = tmp_path / PATH
        file.parent.mkdir()

        def put(values: dict[str, str]) -> None:
            file.write_text(json.dumps(values))

        yield Filled(EnvironmentSecrets(tmp_path), put, keeps_versions=False)
    elif request.param == "aws":
        yield _aws(request.getfixturevalue("aws_url"), monkeypatch)
    else:
        vault: Vault = request.getfixturevalue("vault")
        vault.versions.pop(PATH, None)
        settings = SecretSettings(secrets="vault", vault_addr=vault.url, vault_token="root-token")
        vault.tokens.add("root-token")
        yield Filled(VaultSecrets(settings), lambda values: vault.put(PATH, **values))


def _aws(url: str, monkeypatch: pytest.MonkeyPatch) -> Filled:
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    client: Any = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=url)
    if any(found["Name"] == PATH for found in client.list_secrets()["SecretList"]):
        client.delete_secret(SecretId=PATH, ForceDeleteWithoutRecovery=True)

    def put(values: dict[str, str]) -> None:
        text = json.dumps(values)
        try:
            client.put_secret_value(SecretId=PATH, SecretString=text)
        except client.exceptions.ResourceNotFoundException:
            client.create_secret(Name=PATH, SecretString=text)

    return Filled(AwsSecrets("eu-west-1", url, 5.0), put)


def test_fields_and_versions(filled: Filled) -> None:
    filled.put({"user": "app", "password": VALUE})
    first = filled.store.read(PATH)
    assert first.fields["user"] == "app" and first.fields["password"] == VALUE
    assert filled.store.read(PATH).version == first.version
    filled.put({"user": "app", "password": "next"})
    second = filled.store.read(PATH)
    assert second.fields["password"] == "next" and second.version != first.version
    if filled.keeps_versions:
        previous = filled.store.previous(PATH)
        assert previous is not None and previous.fields["password"] == VALUE


def test_a_first_version_has_none_before(filled: Filled) -> None:
    filled.put({"password": VALUE})
    assert filled.store.previous(PATH) is None


def test_what_is_not_there_is_said_so(filled: Filled) -> None:
    with pytest.raises(SecretUnavailable, match="no such secret|no variable"):
        filled.store.read("prod/none")


def test_a_write_changes_one_version_only(filled: Filled) -> None:
    filled.put({"user": "app", "password": VALUE})
    version = filled.store.read(PATH).version
    filled.store.write(PATH, {"user": "app", "password": "mine"}, version)
    assert filled.store.read(PATH).fields["password"] == "mine"
    with pytest.raises(SecretUnavailable, match="meanwhile"):
        filled.store.write(PATH, {"user": "app", "password": "lost"}, version)
    assert filled.store.read(PATH).fields["password"] == "mine"


def test_no_repr_shows_a_value(filled: Filled) -> None:
    filled.put({"password": VALUE})
    assert VALUE not in repr([filled.store.read(PATH), filled.store, vars(filled.store)])


STRANGE = [(307, b""), (200, b"<html>"), (200, []), (200, {"data": None}), (200, {"data": {"data": 1, "metadata": {}}})]


@pytest.mark.parametrize("answer", STRANGE)
def test_what_is_no_answer_of_vault_is_an_outage(answer: tuple[int, Any], vault: Vault) -> None:
    vault.tokens.add("root-token")
    vault.put("app", password=VALUE)
    login: dict[str, Any] = {
        "vault_auth": "approle",
        "vault_role_id": vault.role_id,
        "vault_secret_id": vault.secret_id,
    }
    new = VaultSecrets(SecretSettings(secrets="vault", vault_addr=vault.url, **login))
    store = VaultSecrets(SecretSettings(secrets="vault", vault_addr=vault.url, vault_token="root-token"))
    vault.strange = answer
    try:
        for reader, path in ((new, "app"), (store, "app"), (store, "database/creds/app")):
            with pytest.raises(SecretUnavailable, match="TRIPTYCH_VAULT_ADDR"):
                reader.read(path)
        with pytest.raises(SecretUnavailable, match="TRIPTYCH_VAULT_ADDR"):
            store.write("app", {"password": "lost"}, "1")
    finally:
        vault.strange = None
        vault.requests.clear()
    assert store.read("app").fields["password"] == VALUE


def test_a_file_that_cannot_be_looked_at_is_an_outage(tmp_path: Path) -> None:
    # Longer than a name may be, which the system tells as it tells of a folder that is closed to us.
    store, name = EnvironmentSecrets(tmp_path), "x" * 300
    with pytest.raises(SecretUnavailable, match="cannot be read"):
        store.read(name)
    with pytest.raises(SecretUnavailable, match="cannot be read"):
        store.write(name, {}, "1")


def test_variables_and_folders_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_PROD_DB_PASSWORD", "from-variable")
    assert EnvironmentSecrets(None).read(PATH).fields["password"] == "from-variable"
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "password").write_text("from-file\n")
    (tmp_path / "plain").write_text("whole\n")
    store = EnvironmentSecrets(tmp_path)
    assert store.read("mounted").fields == {"password": "from-file"}
    assert store.read("plain").fields == {"": "whole"}
    with pytest.raises(SecretUnavailable, match="upwards"):
        store.read("../etc/passwd")


@pytest.mark.parametrize("way", ["approle", "kubernetes"])
def test_vault_signs_in_and_again_when_its_token_ended(way: str, vault: Vault, tmp_path: Path) -> None:
    jwt = tmp_path / "token"
    jwt.write_text(vault.jwt)
    given: dict[str, Any] = {"vault_role_id": vault.role_id, "vault_secret_id": vault.secret_id}
    if way == "kubernetes":
        given = {"vault_role": "triptych", "vault_jwt_file": jwt}
    store = VaultSecrets(SecretSettings(secrets="vault", vault_addr=vault.url, vault_auth=way, **given))
    vault.put("app", password=VALUE)
    assert store.read("app").fields["password"] == VALUE
    vault.end_tokens()
    assert store.read("app").fields["password"] == VALUE
    logins = [path for _, path in vault.requests if path == f"/v1/auth/{way}/login"]
    assert len(logins) == 2


def test_a_wrong_secret_id_and_a_policy_and_an_outage_are_told_apart(vault: Vault) -> None:
    vault.put("app", password=VALUE)
    wrong = SecretSettings(
        secrets="vault", vault_addr=vault.url, vault_auth="approle", vault_role_id="x", vault_secret_id="y"
    )
    with pytest.raises(SecretUnavailable, match="login failed"):
        VaultSecrets(wrong).read("app")
    vault.tokens.add("root-token")
    store = VaultSecrets(SecretSettings(secrets="vault", vault_addr=vault.url, vault_token="root-token"))
    vault.denied.add("secret/data/app")
    with pytest.raises(SecretUnavailable, match="policy"):
        store.read("app")
    vault.denied.clear()
    vault.down = True
    with pytest.raises(SecretUnavailable, match="did not answer"):
        store.read("app")
    vault.down = False
    gone = VaultSecrets(SecretSettings(secrets="vault", vault_addr="http://127.0.0.1:1", vault_token="x"))
    with pytest.raises(SecretUnavailable, match="did not answer"):
        gone.read("app")


def test_database_credentials_are_made_with_a_lease(vault: Vault) -> None:
    vault.tokens.add("root-token")
    store = VaultSecrets(SecretSettings(secrets="vault", vault_addr=vault.url, vault_token="root-token"))
    first, second = store.read("database/creds/app"), store.read("database/creds/app")
    assert first.lease_seconds == vault.lease_seconds
    assert first.fields["username"] != second.fields["username"] and first.version != second.version
