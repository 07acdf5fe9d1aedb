"""The cloud in the console: what runs in each account, how it does, what it wrote. The same use cases as the tools.

AWS is asked when somebody opens a page, and not by itself afterwards: its answers cost money.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, get_args
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter
from starlette.responses import Response

from common.console.chart import Chart, binary_up, chart
from common.console.page import HOME, Page, Visit
from devops.cloud.answers import (
    CloudMetrics,
    InstanceEntry,
    ServiceEntry,
    alarm_list,
    cloud_logs,
    cloud_metrics,
    instance_entry,
    instance_list,
    service_entry,
    service_list,
    shown,
)
from devops.cloud.names import LogGroup
from devops.cloud.plan_pages import INSTANCE, INSTANCE_PATH, NAME, SERVICE_PATH
from devops.cloud.ports import CloudAccount, CloudMetric, Watched
from devops.cloud.reading import OF_INSTANCES, OF_SERVICES, CloudReading
from devops.panels import MINUTES, check_tool, chosen, panel, show_bytes, spans
from devops.plan_forms import valid

SEE = "console:cloud"
CLOUD = f"{HOME}/cloud"
PAGE_SIZE = 50
TAILS = (100, 500, 2000)
GROUP: TypeAdapter[str] = TypeAdapter(LogGroup)
TITLES: dict[str, str] = {
    "cpu": "Processor, percent",
    "memory": "Memory, percent",
    "network_received": "Received, in each period",
    "network_sent": "Sent, in each period",
    "status_check_failed": "Status check failed (1)",
    "running_tasks": "Tasks that run",
}
BYTES = frozenset({"network_received", "network_sent"})
TONES = {
    **{"running": "good", "pending": "warn", "stopping": "warn", "shutting-down": "warn", "terminated": "bad"},
    **{"OK": "good", "ALARM": "bad", "INSUFFICIENT_DATA": "warn", "COMPLETED": "good", "IN_PROGRESS": "warn"},
    **{"FAILED": "bad", "ACTIVE": "good", "DRAINING": "warn", "INACTIVE": "bad"},
}


def cloud_pages(reading: CloudReading | None, max_bytes: int, may_change: bool) -> list[Page]:
    """All addresses; without an account the one that says what to set."""
    return CloudPages(reading, max_bytes, may_change).pages() if reading else [first_page(nothing)]


def first_page(endpoint: Callable[[Visit], Awaitable[Response]]) -> Page:
    """The one in the navigation."""
    return Page("/cloud", "Cloud", SEE, endpoint, order=14, recorded=True)


async def nothing(visit: Visit) -> Response:
    """DEVOPS_AWS is off."""
    return visit.render("cloud_none.html", is_on=False)


class CloudPages:
    """What people see of the accounts that they may see."""

    def __init__(self, reading: CloudReading, max_bytes: int, may_change: bool) -> None:
        self._cloud = reading
        self._max_bytes = max_bytes
        self._may_change = may_change

    def pages(self) -> list[Page]:
        """All addresses."""
        return [
            first_page(self.overview),
            Page(INSTANCE_PATH, "Instance", SEE, self.instance, in_nav=False, recorded=True),
            Page(SERVICE_PATH, "Service", SEE, self.service, in_nav=False, recorded=True),
            Page("/cloud/{account}/logs", "Log group", SEE, self.logs, in_nav=False, recorded=True),
        ]

    async def overview(self, visit: Visit) -> Response:
        """Accounts, and of one of them instances, services, alarms and log groups."""
        seen = self._cloud.accounts.visible(visit.principal)
        if not seen:
            return visit.render("cloud_none.html", is_on=True)
        asked, who = visit.request.query_params, visit.principal
        account = self._cloud.accounts.named(who, asked.get("account") or None)
        name = account.name
        cursors = {part: asked.get(part) or None for part in ("instances", "services", "alarms")}
        instances, services, alarms, groups = await asyncio.gather(
            panel(visit, "list_instances", lambda: self._instances(visit, name, cursors["instances"])),
            panel(visit, "list_services", lambda: self._services(visit, name, cursors["services"])),
            panel(visit, "list_alarms", lambda: self._alarms(visit, name, cursors["alarms"])),
            panel(visit, "get_cloud_logs", lambda: self._cloud.log_groups(who, name)),
        )
        return visit.render(
            "cloud.html",
            **self._around(account, seen),
            instances=instances,
            services=services,
            alarms=alarms,
            groups=groups,
            more=lambda part, cursor: f"{CLOUD}?{urlencode({'account': name, part: cursor})}",
            is_later={part: cursor is not None for part, cursor in cursors.items()},
        )

    async def instance(self, visit: Visit) -> Response:
        """One machine: what it is, how it does, and what can be planned for it."""
        given, who = visit.request.path_params, visit.principal
        check_tool(visit, "list_instances")
        instance = valid(INSTANCE, given, "instance")
        account, found = await self._cloud.instance(who, given["account"], instance)
        entry: InstanceEntry = instance_entry(found)
        of = Watched(instance=instance)
        base = f"{CLOUD}/{quote(account.name)}/instances/{instance}"
        verbs = {"stopped": ["start_instance"], "running": ["stop_instance", "reboot_instance"]}.get(entry.state, [])
        return visit.render(
            "cloud_instance.html",
            **self._around(account),
            **await self._charts(visit, account.name, of, sorted(OF_INSTANCES)),
            instance=entry,
            base=base,
            verbs=[(verb, verb.partition("_")[0].capitalize()) for verb in verbs if self._plans(visit, verb)],
        )

    async def service(self, visit: Visit) -> Response:
        """One service of ECS, in the same way."""
        given, who = visit.request.path_params, visit.principal
        check_tool(visit, "list_services")
        cluster, name = valid(NAME, given, "ecs_cluster"), valid(NAME, given, "service")
        account, found = await self._cloud.service(who, given["account"], cluster, name)
        entry: ServiceEntry = service_entry(found)
        of = Watched(ecs_cluster=cluster, service=name)
        return visit.render(
            "cloud_service.html",
            **self._around(account),
            **await self._charts(visit, account.name, of, sorted(OF_SERVICES)),
            service=entry,
            base=f"{CLOUD}/{quote(account.name)}/services/{quote(cluster)}/{quote(name)}",
            may_update=self._plans(visit, "update_service"),
        )

    async def logs(self, visit: Visit) -> Response:
        """The newest lines of a log group, as data."""
        check_tool(visit, "get_cloud_logs")
        asked, who, name = visit.request.query_params, visit.principal, visit.request.path_params["account"]
        group, minutes = valid(GROUP, asked, "group"), chosen(asked, "minutes", MINUTES)
        tail = chosen(asked, "tail", TAILS)
        account, found = await self._cloud.log_lines(who, name, group, minutes, tail)
        answer, _ = cloud_logs(account, group, found, self._max_bytes)
        return visit.render(
            "cloud_logs.html",
            **self._around(account),
            log=answer,
            minutes=minutes,
            tail=tail,
            spans=spans(),
            tails=TAILS,
            address=f"{CLOUD}/{quote(account.name)}/logs",
        )

    async def _charts(self, visit: Visit, account: str, of: Watched, metrics: Sequence[str]) -> dict[str, Any]:
        minutes, end = chosen(visit.request.query_params, "minutes", MINUTES), time.time()

        async def one(metric: CloudMetric) -> Chart:
            found, points = await self._cloud.series(visit.principal, account, metric, of, minutes)
            return drawn(cloud_metrics(found, metric, points), end - minutes * 60, end)

        known = [metric for metric in get_args(CloudMetric) if metric in metrics]

        async def all_of_them() -> list[Chart]:
            return list(await asyncio.gather(*(one(metric) for metric in known)))

        charts = await panel(visit, "get_cloud_metrics", all_of_them)
        return {"charts": charts, "minutes": minutes, "spans": spans()}

    async def _instances(self, visit: Visit, account: str, cursor: str | None) -> Any:
        page = await self._cloud.instances(visit.principal, account, None, None, PAGE_SIZE, cursor)
        return instance_list(page)

    async def _services(self, visit: Visit, account: str, cursor: str | None) -> Any:
        return service_list(await self._cloud.services(visit.principal, account, None, PAGE_SIZE, cursor))

    async def _alarms(self, visit: Visit, account: str, cursor: str | None) -> Any:
        return alarm_list(await self._cloud.alarms(visit.principal, account, False, PAGE_SIZE, cursor))

    def _plans(self, visit: Visit, tool: str) -> bool:
        return self._may_change and visit.runtime.policy.allows(visit.principal, tool)

    def _around(self, account: CloudAccount, seen: Sequence[CloudAccount] = ()) -> dict[str, Any]:
        accounts = [(shown(each), f"{CLOUD}?account={quote(each.name)}", each.name == account.name) for each in seen]
        return {
            "account": account.name,
            "title": shown(account),
            "accounts": accounts,
            "home": f"{CLOUD}?account={quote(account.name)}",
            "below": f"{CLOUD}/{quote(account.name)}",
            "tones": TONES,
            "may_change": self._may_change,
        }


def drawn(found: CloudMetrics, start: float, end: float) -> Chart:
    """A metric as a drawing."""
    points = [(float(point.time), point.value) for point in found.points]
    title = TITLES[found.metric]
    if found.metric in BYTES:
        return chart(title, [(found.metric.replace("_", " "), points)], start, end, show_bytes, binary_up)
    return chart(title, [(found.metric.replace("_", " "), points)], start, end)
