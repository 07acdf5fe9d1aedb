"""Wires cloud accounts; they exist with DEVOPS_AWS=on only."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from common.errors import SettingsError
from devops.adapters.aws_account import AwsAccountReader
from devops.adapters.aws_session import AwsSession
from devops.cloud.accounts import Accounts
from devops.cloud.reading import CloudReading
from devops.cursors import Cursors
from devops.scope import NamespaceScope
from devops.settings import DevopsSettings


@dataclass(frozen=True)
class Cloud:
    """The use cases, and what they stand on."""

    sessions: Sequence[AwsSession]
    accounts: Accounts
    reading: CloudReading

    async def close(self) -> None:
        """Close the accounts."""
        for session in self.sessions:
            await session.close()


def build_cloud(settings: DevopsSettings, policy: Path, cursors: Cursors, clusters: Collection[str]) -> Cloud | None:
    """Wire everything, None if it is off; nothing is opened yet. Raises SettingsError."""
    if settings.aws == "off":
        return None
    if find_spec("boto3") is None:
        raise SettingsError("DEVOPS_AWS=on needs the extra: pip install 'triptych[devops]'")
    if not settings.aws_accounts:
        raise SettingsError('DEVOPS_AWS=on needs DEVOPS_AWS_ACCOUNTS: {"shop-prod": {"region": "eu-west-1", ...}}')
    if both := sorted(set(settings.aws_accounts) & set(clusters)):
        raise SettingsError(f"DEVOPS_AWS_ACCOUNTS: {', '.join(both)} is the name of a cluster, too: take another one")
    sessions = [
        AwsSession(name, account, settings.aws_endpoint_url, settings.request_timeout_seconds)
        for name, account in settings.aws_accounts.items()
    ]
    groups = {name: account.groups for name, account in settings.aws_accounts.items()}
    accounts = Accounts([AwsAccountReader(each) for each in sessions], NamespaceScope(policy, settings.tenant, groups))
    return Cloud(sessions, accounts, CloudReading(accounts, cursors))
