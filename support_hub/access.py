"""Who may see customers: one tenant's people, and of those some groups if the operator says so."""

from collections.abc import Collection

from common.errors import Denied
from common.security.principal import Principal


class CustomerAccess:
    """Asked before anything is read. Which tools somebody may use at all is decided in policies/tools.cedar."""

    def __init__(self, tenant: str, groups: Collection[str]) -> None:
        self._tenant = tenant
        self._groups = frozenset(groups)

    def check(self, principal: Principal) -> None:
        """Raises Denied."""
        known = principal.tenant == self._tenant and (not self._groups or bool(self._groups & principal.groups))
        if not known:
            raise Denied("You may not see these customers.", "Ask the operator: SUPPORT_TENANT and SUPPORT_GROUPS.")
