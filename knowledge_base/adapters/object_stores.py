"""Opens the store that a URL names: a folder, S3, Azure Blob Storage, or what speaks like one of them."""

import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from common.errors import SettingsError

_REFRESH = timedelta(minutes=5)
"""botocore renews a role's credentials 10 to 15 minutes before they end; asked this often, they never run out."""
_SECONDS = timedelta(seconds=30)


@dataclass(frozen=True)
class Account:
    """What the URL does not say. S3 takes its credentials from where boto3 finds them."""

    endpoint: str | None = None
    """Of a store that speaks S3 or Azure's protocol, but is elsewhere."""
    name: str | None = None
    """Azure storage account."""
    key: SecretStr | None = None
    """Its key; without one, the workload's or machine's managed identity."""
    ca_file: Path | None = None
    """Of an authority that signed the store's certificate, besides the system's."""


def folder_of(location: Path | str) -> Path | None:
    """The folder of a `file://` URL; None for other stores."""
    if isinstance(location, Path):
        return location
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def open_store(location: Path | str, account: Account) -> Any:
    """An obstore store. Raises SettingsError. May block: AWS credentials are looked for."""
    from obstore.store import LocalStore, from_url

    folder = folder_of(location)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return LocalStore(folder)
    parts = urlsplit(str(location))
    if parts.scheme == "s3":
        return _s3(parts.netloc, parts.path.strip("/"), account)
    if parts.scheme == "az":
        return _azure(parts.netloc, parts.path.strip("/"), account)
    return from_url(str(location))


def _s3(bucket: str, prefix: str, account: Account) -> Any:
    from obstore.store import S3Store

    try:
        import boto3
    except ImportError:
        raise SettingsError("s3:// needs the extra `knowledge-base` (boto3): install it.") from None
    session = boto3.Session()
    if session.get_credentials() is None:
        where = "environment, ~/.aws, or the role of this machine, container or pod"
        raise SettingsError(f"There are no AWS credentials for s3://{bucket} ({where}).")
    given: dict[str, Any] = {"region": session.region_name or os.environ.get("AWS_REGION") or "us-east-1"}
    if account.endpoint:
        given |= {"endpoint": account.endpoint, "virtual_hosted_style_request": False}
    credentials: Any = AwsCredentials(session)
    return S3Store(bucket, prefix=prefix or None, credential_provider=credentials, **given, **_limits(account))


def _azure(container: str, prefix: str, account: Account) -> Any:
    from obstore.store import AzureStore

    given: dict[str, Any] = {}
    if account.name:
        given["account_name"] = account.name
    if account.key:
        given["account_key"] = account.key.get_secret_value()
    if account.endpoint:
        given["endpoint"] = account.endpoint
    return AzureStore(container, prefix=prefix or None, **given, **_limits(account))


def _limits(account: Account) -> dict[str, Any]:
    is_plain = account.endpoint is not None and account.endpoint.startswith("http://")
    options: dict[str, Any] = {"timeout": _SECONDS, "connect_timeout": timedelta(seconds=5), "allow_http": is_plain}
    if account.ca_file is not None:
        options["root_certificate"] = account.ca_file.read_bytes()
    return {"client_options": options, "retry_config": {"max_retries": 2, "retry_timeout": _SECONDS}}


class AwsCredentials:
    """By boto3's chain, so that roles of machines, containers and pods work; renewed before they end.

    Not a coroutine: parts of a large object are sent by threads that have no event loop. It is called in such a one.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._turn = threading.Lock()

    def __call__(self) -> dict[str, Any]:
        with self._turn:
            found = self._session.get_credentials().get_frozen_credentials()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": datetime.now(UTC) + _REFRESH,
        }
