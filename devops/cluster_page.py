"""The page that says how a cluster is: health by namespace, restarts, warnings, and whether it may be changed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.responses import Response

from common.console.page import HOME, Page, Visit
from common.console.templating import percent
from common.errors import AppError
from devops.answers import shown
from devops.bootstrap import Devops
from devops.budget import Budget
from devops.changes.service import Changes
from devops.detail_answers import AlertEntry, alert_entry
from devops.kinds import Kind
from devops.ports import Cluster, Row
from devops.reading import is_healthy

MOST = 500
SHOWN = 12
MOST_ALERTS = 30
WIDTH = 320
"""Of the bars, in pixels."""


@dataclass(frozen=True)
class AlertPanel:
    """Alerts, or why there are none to see."""

    known: bool
    entries: Sequence[tuple[AlertEntry, int]] = ()
    """Each rule and workload once, and for how many pods."""
    hidden: int = 0
    failed: str = ""


@dataclass(frozen=True)
class Bar:
    """A line of a plot: how wide, of what."""

    label: str
    address: str
    widths: tuple[float, ...]
    text: str


@dataclass(frozen=True)
class BudgetPanel:
    """Error budgets, or why there are none to see."""

    known: bool
    bars: Sequence[Bar] = ()
    failed: str = ""


@dataclass
class Health:
    """Workloads of a namespace."""

    namespace: str
    good: int = 0
    bad: int = 0

    @property
    def all(self) -> int:
        return self.good + self.bad


def cluster_page(devops: Devops, changes: Changes | None) -> Page:
    """The page; without `changes` nothing can be changed here at all."""

    async def cluster(visit: Visit) -> Response:
        name = visit.request.query_params.get("cluster") or None
        who = visit.principal
        found = await devops.reading.workloads(who, name, None, None, {}, False, MOST, None)
        pods = await devops.reading.pods(who, name, None, {}, None, False, MOST, None)
        events = await devops.events.page(who, name, None, None, True, SHOWN, None)
        broken = [(kind, row) for kind, row in found.items if not is_healthy(kind, row)]
        off = await changes.store.switch() if changes else None
        return visit.render(
            "cluster.html",
            cluster=shown(found.cluster),
            totals={"workloads": len(found.items), "broken": len(broken), "pods": len(pods.items)},
            partial=found.next_cursor is not None or pods.next_cursor is not None,
            clusters=devops.clusters.names,
            health=health_bars(found.items, found.cluster.name),
            restarts=restart_bars([row for _, row in pods.items], found.cluster.name),
            broken=[
                {"kind": kind.name, "row": row, "address": workload(found.cluster.name, row.namespace, row.name)}
                for kind, row in broken
            ],
            budget=await error_budgets(devops, visit, found.cluster),
            objective=devops.budgets.objective,
            metric=devops.settings.requests_metric,
            warnings=events.items,
            alerts=await active_alerts(devops, visit, found.cluster),
            width=WIDTH,
            off=off,
            frozen=changes.approvals.gates.frozen(changes.clock.now(), off) if changes and off else [],
        )

    return Page("/cluster", "Cluster", "console:cluster", cluster, order=10)


async def error_budgets(devops: Devops, visit: Visit, cluster: Cluster) -> BudgetPanel:
    """Of the namespaces that the visitor sees; that they cannot be counted stops nothing else of the page."""
    if not devops.budgets.are_known:
        return BudgetPanel(known=False)
    try:
        found = await devops.budgets.of_cluster(visit.principal, cluster)
    except AppError as error:
        return BudgetPanel(known=True, failed=error.message)
    return BudgetPanel(True, [budget_bar(each, cluster.name) for each in found])


def budget_bar(budget: Budget, cluster: str) -> Bar:
    """What is left and what was spent; a budget that is overspent is spent."""
    left = min(1.0, max(0.0, budget.left))
    said = f"{percent(left)} left" if budget.left >= 0 else f"overspent by {percent(-budget.left)}"
    burn = "" if budget.burn is None else f", burns at {budget.burn:.2g}"
    address = workloads(cluster, budget.namespace)
    return Bar(budget.namespace, address, (round(left * WIDTH, 1), round((1 - left) * WIDTH, 1)), said + burn)


async def active_alerts(devops: Devops, visit: Visit, cluster: Cluster) -> AlertPanel:
    """What the visitor may see of them; that they cannot be read stops nothing else of the page."""
    if not devops.alerts.are_known:
        return AlertPanel(known=False)
    try:
        found, count = await devops.alerts.of_cluster(visit.principal, cluster, MOST_ALERTS)
    except AppError as error:
        return AlertPanel(known=True, failed=error.message)
    grouped: dict[tuple[str, str], list[AlertEntry]] = defaultdict(list)
    for entry in map(alert_entry, found):
        grouped[entry.name, entry.workload or entry.about].append(entry)
    return AlertPanel(True, [(same[0], len(same)) for same in grouped.values()], count - len(found))


def health_bars(items: Sequence[tuple[Kind, Row]], cluster: str) -> list[Bar]:
    """By namespace, the one with most that is broken first."""
    found: dict[str, Health] = defaultdict(lambda: Health(""))
    for kind, row in items:
        health = found[row.namespace]
        health.namespace = row.namespace
        if is_healthy(kind, row):
            health.good += 1
        else:
            health.bad += 1
    ordered = sorted(found.values(), key=lambda each: (-each.bad, -each.all, each.namespace))
    unit = WIDTH / max((each.all for each in ordered), default=1)
    return [
        Bar(
            each.namespace,
            workloads(cluster, each.namespace),
            (round(each.good * unit, 1), round(each.bad * unit, 1)),
            f"{each.good} healthy, {each.bad} broken",
        )
        for each in ordered
    ]


def restart_bars(rows: Sequence[Row], cluster: str) -> list[Bar]:
    """The pods that were restarted most often."""
    counted = [(int(str(row.cells.get("restarts") or "0").split(" ")[0]), row) for row in rows]
    most = sorted((pair for pair in counted if pair[0]), key=lambda pair: -pair[0])[:SHOWN]
    unit = WIDTH / max((count for count, _ in most), default=1)
    return [
        Bar(
            f"{row.namespace}/{row.name}",
            live(cluster, row.namespace, pod=row.name),
            (round(count * unit, 1),),
            f"{count} restarts",
        )
        for count, row in most
    ]


def live(cluster: str, namespace: str, **what: str) -> str:
    """The address where its log lines or events are followed."""
    return f"{HOME}/live?{urlencode({'cluster': cluster, 'namespace': namespace, **what})}"


def workloads(cluster: str, namespace: str) -> str:
    """The address of the list of a namespace."""
    return f"{HOME}/workloads?{urlencode({'cluster': cluster, 'namespace': namespace})}"


def workload(cluster: str, namespace: str, name: str) -> str:
    """The address of one workload."""
    return f"{HOME}/workloads/{namespace}/{name}?{urlencode({'cluster': cluster})}"
