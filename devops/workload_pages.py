"""Workloads in the console: a list, and each with its metrics, its diagnosis and what can be planned."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import TypeAdapter
from starlette.responses import Response

from common.console.chart import Chart, binary_up, chart
from common.console.page import HOME, Page, Visit
from devops.answers import workload_list
from devops.bootstrap import Devops
from devops.cluster_page import live, workload, workloads
from devops.detail_answers import WorkloadDetail, diagnosis, workload_detail
from devops.diagnosis.rules import likely_causes
from devops.metrics import Metric, Series
from devops.names import NamespaceName, ObjectName
from devops.panels import MINUTES, check_tool, chosen, panel, show_bytes, spans
from devops.plan_forms import valid

SEE = "console:cluster"
PATH = "/workloads/{namespace}/{name}"
MOST = 200
NAMESPACE: TypeAdapter[str] = TypeAdapter(NamespaceName)
NAME: TypeAdapter[str] = TypeAdapter(ObjectName)
PLOTS: dict[Metric, str] = {
    "cpu": "Processor, cores",
    "memory": "Memory",
    "restarts": "Restarts",
    "errors": "Requests that failed, a second",
}
PLANS = ("restart_workload", "scale_workload", "set_image", "rollback_workload")


class WorkloadPages:
    """What the tools say of workloads, for people."""

    def __init__(self, devops: Devops, may_change: bool) -> None:
        self._devops = devops
        self._may_change = may_change

    def pages(self) -> list[Page]:
        """Both addresses."""
        return [
            Page("/workloads", "Workloads", SEE, self.listing, in_nav=False, recorded=True),
            Page(PATH, "Workload", SEE, self.one, in_nav=False, recorded=True),
        ]

    async def listing(self, visit: Visit) -> Response:
        """Those of a namespace, or of all that the person sees."""
        check_tool(visit, "list_workloads")
        asked, who = visit.request.query_params, visit.principal
        namespace = valid(NAMESPACE, asked, "namespace") if asked.get("namespace") else None
        cluster, cursor = asked.get("cluster") or None, asked.get("cursor") or None
        found = await self._devops.reading.workloads(who, cluster, namespace, None, {}, False, MOST, cursor)
        answer, name = workload_list(found), found.cluster.name
        more = {"cluster": name, "namespace": namespace or "", "cursor": answer.next_cursor or ""}
        return visit.render(
            "workloads.html",
            cluster=answer.cluster,
            home=f"{HOME}/cluster?{urlencode({'cluster': name})}",
            namespace=namespace or "",
            items=[(each, workload(name, each.namespace, each.name)) for each in answer.items],
            next_page=f"{HOME}/workloads?{urlencode(more)}" if answer.next_cursor else "",
        )

    async def one(self, visit: Visit) -> Response:
        """One of them; its diagnosis only if it is asked for, since that reads a lot."""
        check_tool(visit, "get_workload")
        given, asked, who = visit.request.path_params, visit.request.query_params, visit.principal
        namespace, name = valid(NAMESPACE, given, "namespace"), valid(NAME, given, "name")
        seen = await self._devops.details.workload(who, asked.get("cluster") or None, namespace, name, None)
        cluster, kind = seen.cluster.name, seen.kind.name
        minutes = chosen(asked, "minutes", MINUTES)

        async def diagnosed() -> Any:
            facts = await self._devops.gatherer.facts(who, cluster, namespace, name, kind)
            return diagnosis(facts, likely_causes(facts))

        base = f"{HOME}/workloads/{quote(namespace)}/{quote(name)}"
        with_diagnosis = {"cluster": cluster, "minutes": minutes, "diagnose": "on"}
        return visit.render(
            "workload.html",
            workload=workload_detail(seen),
            plots=await panel(visit, "get_metrics", lambda: self._plots(visit, cluster, namespace, name, minutes)),
            has_history=self._devops.metrics.has_history,
            minutes=minutes,
            spans=spans(),
            found=await panel(visit, "diagnose", diagnosed) if asked.get("diagnose") == "on" else None,
            diagnose=f"{base}?{urlencode(with_diagnosis)}",
            cluster=cluster,
            around=workloads(cluster, namespace),
            lines=live(cluster, namespace, workload=name),
            base=base,
            may_change=self._may_change,
            plans=self._plans(visit, workload_detail(seen)),
        )

    def _plans(self, visit: Visit, found: WorkloadDetail) -> list[str]:
        """The forms that this person may send for it."""
        if not self._may_change:
            return []
        impossible = {"DaemonSet": {"scale_workload", "rollback_workload"}, "StatefulSet": {"rollback_workload"}}
        hidden = impossible.get(found.kind, set())
        if len(found.revisions) < 2:
            hidden = hidden | {"rollback_workload"}
        allows = visit.runtime.policy.allows
        return [tool for tool in PLANS if tool not in hidden and allows(visit.principal, tool)]

    async def _plots(self, visit: Visit, cluster: str, namespace: str, name: str, minutes: int) -> Sequence[Chart]:
        if not self._devops.metrics.has_history:
            return []
        end = time.time()

        async def one(metric: Metric) -> Chart:
            _, found = await self._devops.metrics.over_time(visit.principal, cluster, namespace, name, metric, minutes)
            return drawn(metric, found, end - minutes * 60, end)

        return await asyncio.gather(*map(one, PLOTS))


def drawn(metric: Metric, found: Sequence[Series], start: float, end: float) -> Chart:
    """One line for each pod."""
    series = [(each.pod, each.points) for each in found]
    if metric == "memory":
        return chart(PLOTS[metric], series, start, end, show_bytes, binary_up)
    return chart(PLOTS[metric], series, start, end)
