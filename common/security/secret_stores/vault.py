"""HashiCorp Vault: KV version 2, and database credentials that Vault makes for this process."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from common.security.secret_settings import SecretSettings
from common.security.secrets import Secret, SecretUnavailable

DATABASE = "database/creds/"
T = TypeVar("T")


class VaultSecrets:
    """`secret://prod/db#password` is a field in KV; `secret://database/creds/app#username` is made anew."""

    name = "vault"

    def __init__(self, settings: SecretSettings) -> None:
        import hvac

        self._settings = settings
        verify: Any = str(settings.vault_ca_file) if settings.vault_ca_file else True
        self._client: Any = hvac.Client(
            url=settings.vault_addr,
            namespace=settings.vault_namespace,
            timeout=settings.secrets_timeout_seconds,
            verify=verify,
            allow_redirects=False,
        )
        self._client.token = settings.vault_token.get_secret_value() if settings.vault_token else None

    def read(self, path: str) -> Secret:
        """See SecretStore."""
        if path.startswith(DATABASE):
            return self._ask(lambda: self._made(path.removeprefix(DATABASE)))
        return self._ask(lambda: self._version(path, None))

    def previous(self, path: str) -> Secret | None:
        """See SecretStore."""
        if path.startswith(DATABASE):
            return None
        number = int(self.read(path).version)
        try:
            return self._ask(lambda: self._version(path, number - 1)) if number > 1 else None
        except SecretUnavailable:
            return None

    def write(self, path: str, values: Mapping[str, str], expected: str) -> None:
        """See SecretStore."""
        mount = self._settings.vault_mount
        self._ask(
            # The driver takes a redirection for an answer, too: what was stored has a version.
            lambda: self._client.secrets.kv.v2.create_or_update_secret(
                path, dict(values), cas=int(expected), mount_point=mount
            )["data"]["version"]
        )

    def _version(self, path: str, number: int | None) -> Secret:
        answer = self._client.secrets.kv.v2.read_secret_version(
            path, version=number, mount_point=self._settings.vault_mount, raise_on_deleted_version=True
        )
        data = answer["data"]
        return Secret({k: str(v) for k, v in data["data"].items()}, str(int(data["metadata"]["version"])))

    def _made(self, role: str) -> Secret:
        answer = self._client.secrets.database.generate_credentials(role)
        return Secret(dict(answer["data"]), answer["lease_id"], float(answer["lease_duration"]))

    def _ask(self, question: Callable[[], T]) -> T:
        """The answer; a token that ended is got anew once."""
        import hvac.exceptions
        import requests

        try:
            if not self._client.token:
                self._sign_in()
            try:
                return question()
            except hvac.exceptions.Forbidden:
                self._sign_in()
                return question()
        except hvac.exceptions.InvalidPath:
            raise SecretUnavailable("there is no such secret, or it was deleted") from None
        except hvac.exceptions.Forbidden:
            raise SecretUnavailable("Vault's policy does not allow it") from None
        except hvac.exceptions.InvalidRequest:
            raise SecretUnavailable("Vault refused the request: it was changed meanwhile, or login failed") from None
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise SecretUnavailable(f"Vault did not answer ({type(error).__name__})") from None
        except (TypeError, LookupError, ValueError, AttributeError):
            # A standby that redirects, or a page of a proxy. The driver gives back whatever it is.
            message = "what answered is no active Vault: TRIPTYCH_VAULT_ADDR must lead to one"
            raise SecretUnavailable(message) from None

    def _sign_in(self) -> None:
        settings, auth = self._settings, self._client.auth
        if settings.vault_auth == "approle":
            secret_id = settings.vault_secret_id.get_secret_value() if settings.vault_secret_id else None
            auth.approle.login(settings.vault_role_id, secret_id)
        elif settings.vault_auth == "kubernetes":
            auth.kubernetes.login(settings.vault_role, _read_token(settings.vault_jwt_file))


def _read_token(path: Path) -> str:
    # Kubernetes renews the file, so it is read for each sign-in.
    try:
        return path.read_text().strip()
    except OSError as error:
        raise SecretUnavailable(f"{path} cannot be read ({type(error).__name__})") from None
