"""What callers read of cloud accounts, page by page."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from common.errors import InvalidInput, NotFound
from common.security.principal import Principal
from devops.cloud.accounts import Accounts
from devops.cloud.ports import (
    Alarm,
    CloudAccount,
    CloudLines,
    CloudMetric,
    Instance,
    InstanceState,
    Page,
    Service,
    Watched,
)
from devops.cursors import Cursors
from devops.names import not_found

T = TypeVar("T")
MAX_GROUPS = 50
MAX_CLUSTERS = 20
"""ECS clusters that one call looks through."""
OF_INSTANCES = frozenset({"cpu", "network_received", "network_sent", "status_check_failed"})
OF_SERVICES = frozenset({"cpu", "memory", "running_tasks"})


@dataclass(frozen=True)
class CloudPage(Generic[T]):
    """Some of a list of an account, and where the next page begins."""

    account: CloudAccount
    items: Sequence[T]
    next_cursor: str | None


class CloudReading:
    """Instances, services, alarms, metrics and log lines."""

    def __init__(self, accounts: Accounts, cursors: Cursors) -> None:
        self.accounts = accounts
        self._cursors = cursors

    async def instances(
        self,
        who: Principal,
        account: str | None,
        state: InstanceState | None,
        name: str | None,
        limit: int,
        cursor: str | None,
    ) -> CloudPage[Instance]:
        """Of a state and of a Name tag, if they are given."""
        seen = self.accounts.named(who, account)

        async def ask(token: str | None) -> Page[Instance]:
            return await seen.instances(state, name, limit, token)

        return await self._page(who, seen, ["instances", state, name], cursor, ask)

    async def instance(self, who: Principal, account: str | None, instance: str) -> tuple[CloudAccount, Instance]:
        """One of them. Raises NotFound."""
        seen = self.accounts.named(who, account)
        return seen, await seen.instance(instance)

    async def service(
        self, who: Principal, account: str | None, ecs_cluster: str, service: str
    ) -> tuple[CloudAccount, Service]:
        """One of them. Raises NotFound."""
        seen = self.accounts.named(who, account)
        return seen, await seen.service(ecs_cluster, service)

    async def services(
        self, who: Principal, account: str | None, ecs_cluster: str | None, limit: int, cursor: str | None
    ) -> CloudPage[Service]:
        """Of one ECS cluster, or of all, one after the other."""
        seen = self.accounts.named(who, account)
        clusters = [ecs_cluster] if ecs_cluster else list(await seen.ecs_clusters())
        question = self._question(who, seen, ["services", ecs_cluster])
        at, token = self._cursors.open(cursor, question) if cursor else ("", None)
        # A cluster that was deleted since is passed over: names are in order.
        rest = [name for name in clusters if name >= at]
        found: list[Service] = []
        for _ in range(MAX_CLUSTERS):
            if not rest or len(found) >= limit:
                break
            page = await seen.services(rest[0], limit - len(found), token if rest[0] == at else None)
            found += page.items
            at, token = rest[0], page.token
            if token is None:
                rest.pop(0)
        position = [rest[0], token if rest[0] == at else None] if rest else None
        return CloudPage(seen, found, self._cursors.seal(position, question) if position else None)

    async def alarms(
        self, who: Principal, account: str | None, firing: bool, limit: int, cursor: str | None
    ) -> CloudPage[Alarm]:
        """All, or those in alarm."""
        seen = self.accounts.named(who, account)

        async def ask(token: str | None) -> Page[Alarm]:
            return await seen.alarms(firing, limit, token)

        return await self._page(who, seen, ["alarms", firing], cursor, ask)

    async def series(
        self, who: Principal, account: str | None, metric: CloudMetric, of: Watched, minutes: int
    ) -> tuple[CloudAccount, Sequence[tuple[float, float]]]:
        """Of an instance, or of a service. Raises InvalidInput for a metric that it does not have."""
        seen = self.accounts.named(who, account)
        if (of.instance is None) == (of.service is None) or (of.service is None) != (of.ecs_cluster is None):
            hint = "list_instances and list_services have them."
            raise InvalidInput("Give either instance, or ecs_cluster and service.", hint)
        known = OF_INSTANCES if of.instance else OF_SERVICES
        if metric not in known:
            raise InvalidInput(f"It has no metric {metric}.", f"It has: {', '.join(sorted(known))}.")
        return seen, await seen.series(metric, of, minutes)

    async def log_groups(self, who: Principal, account: str | None) -> tuple[CloudAccount, Sequence[str]]:
        """Names of the first of them."""
        seen = self.accounts.named(who, account)
        return seen, await seen.log_groups(MAX_GROUPS)

    async def log_lines(
        self, who: Principal, account: str | None, group: str, minutes: int, tail: int
    ) -> tuple[CloudAccount, CloudLines]:
        """The newest lines of a log group. Raises NotFound that names the nearest ones."""
        seen = self.accounts.named(who, account)
        try:
            return seen, await seen.log_lines(group, minutes, tail)
        except NotFound:
            raise not_found("log group", group, await seen.log_groups(MAX_GROUPS)) from None

    async def _page(
        self,
        who: Principal,
        seen: CloudAccount,
        what: list[Any],
        cursor: str | None,
        ask: Callable[[str | None], Awaitable[Page[T]]],
    ) -> CloudPage[T]:
        question = self._question(who, seen, what)
        page = await ask(self._cursors.open(cursor, question) if cursor else None)
        return CloudPage(seen, page.items, self._cursors.seal(page.token, question) if page.token else None)

    def _question(self, who: Principal, seen: CloudAccount, what: list[Any]) -> list[Any]:
        return [what, seen.name, who.tenant, who.subject]
