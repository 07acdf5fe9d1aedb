"""The accounts, through the eyes of one caller. One that somebody may not see does not exist."""

from collections.abc import Sequence

from common.errors import NotFound
from common.security.principal import Principal
from devops.cloud.ports import CloudAccount
from devops.names import not_found
from devops.scope import NamespaceScope

PLACE = "aws"
"""What the policy is asked about instead of a cluster."""


class Accounts:
    """Finds accounts by the name that the settings give them; nothing else can be named."""

    def __init__(self, accounts: Sequence[CloudAccount], scope: NamespaceScope) -> None:
        self._accounts = {account.name: account for account in accounts}
        self._scope = scope

    def sees(self, who: Principal, name: str) -> bool:
        """Whether the account is visible to this person."""
        return self._scope.sees(who, PLACE, name)

    def named(self, who: Principal, name: str | None) -> CloudAccount:
        """The account of that name, or the first that the caller sees. Raises NotFound."""
        visible = {each: account for each, account in self._accounts.items() if self.sees(who, each)}
        if not visible:
            raise NotFound("There is no account that you may see.", "Ask the operator: DEVOPS_AWS_ACCOUNTS, groups.")
        if name is None:
            return next(iter(visible.values()))
        if name not in visible:
            raise not_found("account", name, visible)
        return visible[name]

    def visible(self, who: Principal) -> Sequence[CloudAccount]:
        """Those that this person sees, the first one first."""
        return [account for name, account in self._accounts.items() if self.sees(who, name)]

    def __contains__(self, name: str) -> bool:
        return name in self._accounts
