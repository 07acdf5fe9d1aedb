"""Tools that change clusters. They exist in read-write mode only; each returns a change that waits for its yes."""

from typing import Annotated, Any, Literal

from fastmcp import Context, FastMCP
from mcp.types import InputRequiredResult, ToolAnnotations
from pydantic import Field

from common.confirm import Confirmations, Question
from common.errors import AppError
from common.paging import decode_cursor, encode_cursor
from common.security.principal import current_principal
from devops.answers import WorkloadKind
from devops.change_answers import (
    ChangeDetails,
    ChangeList,
    ChangeShown,
    change_details,
    change_entry,
    change_shown,
)
from devops.changes.applying import DELETABLE, deletable
from devops.changes.change import Change
from devops.changes.clock import planned_at
from devops.changes.operations import Cordon, Delete, Drain, Operation, Restart, Scale, SetImage
from devops.changes.service import Changes
from devops.changes.states import State
from devops.kinds import KINDS, NODE, Kind
from devops.names import NamespaceName, ObjectName

CHANGES = ToolAnnotations(readOnlyHint=False, destructiveHint=True, idempotentHint=False, openWorldHint=False)
READS = ToolAnnotations(readOnlyHint=True, idempotentHint=True, openWorldHint=False)
STOPS = ToolAnnotations(readOnlyHint=False, destructiveHint=False, idempotentHint=True, openWorldHint=False)
Cluster = Annotated[str | None, Field(description="default: the first", max_length=100)]
Namespace = Annotated[NamespaceName, Field(description="namespace", max_length=63)]
Name = Annotated[ObjectName, Field(description="name of the object", max_length=253)]
ChangeId = Annotated[str, Field(description="change_id of the answer that planned it", pattern=r"^chg-[0-9a-f]{16}$")]
Digest = Annotated[str, Field(description="digest of the change", pattern=r"^[0-9a-f]{64}$")]
Workload = Annotated[WorkloadKind, Field(description="kind of the workload")]
Scalable = Annotated[Literal["Deployment", "StatefulSet"], Field(description="kind of the workload")]
DeletableKind = Annotated[str, Field(description=f"one of {', '.join(DELETABLE)}", max_length=40)]


class ChangeTools:
    """What the tools share: asking for a confirmation, and the shape of the answer."""

    def __init__(self, changes: Changes, confirmations: Confirmations, base_url: str) -> None:
        self.changes = changes
        self._confirmations = confirmations
        self._base_url = base_url.rstrip("/")

    def url(self, change: Change) -> str:
        """Its page in the console."""
        return f"{self._base_url}/console/changes/{change.id}"

    def shown(self, change: Change) -> ChangeShown:
        """The answer."""
        return change_shown(change, self.url(change), self.changes.is_simulated(change))

    async def asked(self, context: Context, plan: Any) -> ChangeShown | InputRequiredResult:
        """Plan, and let the caller confirm if that is what policy demands."""

        async def prepare() -> Question:
            change: Change = await plan()
            about = f"{change.id}:{change.draft.digest}"
            if change.state != "awaiting_confirmation":
                return Question(about, None)
            return Question(about, f"{change.draft.plan.summary} (risk {change.draft.risk})?")

        answer = await self._confirmations.confirm(context, prepare)
        if isinstance(answer, InputRequiredResult):
            return answer
        change_id, _, digest = answer.about.partition(":")
        who = current_principal.get()
        if answer.verdict in ("yes", "no"):
            return self.shown(await self.changes.confirm(who, change_id, digest, answer.verdict == "yes"))
        return self.shown(await self.changes.get(who, change_id))

    async def request(
        self,
        context: Context,
        cluster: str | None,
        kind: Kind,
        namespace: str | None,
        name: str,
        operation: Operation,
    ) -> ChangeShown | InputRequiredResult:
        """A change of one named object."""
        who = current_principal.get()
        return await self.asked(context, lambda: self.changes.request(who, cluster, kind, namespace, name, operation))


def add_change_tools(server: FastMCP[Any], tools: ChangeTools, approve_by_tool: bool) -> None:
    """All of them."""
    _add_workload_tools(server, tools)
    _add_object_tools(server, tools)
    _add_following_tools(server, tools)
    if approve_by_tool:
        _add_approving_tools(server, tools)


def _add_workload_tools(server: FastMCP[Any], tools: ChangeTools) -> None:
    @server.tool(title="Scale a workload", annotations=CHANGES)
    async def scale_workload(
        namespace: Namespace,
        name: Name,
        replicas: Annotated[int, Field(description="replicas from then on", ge=0, le=500)],
        context: Context,
        kind: Scalable = "Deployment",
        cluster: Cluster = None,
    ) -> ChangeShown | InputRequiredResult:
        """Plan another number of replicas. The answer says what would happen and whose yes it needs."""
        return await tools.request(context, cluster, KINDS[kind], namespace, name, Scale(replicas=replicas))

    @server.tool(title="Restart a workload", annotations=CHANGES)
    async def restart_workload(
        namespace: Namespace,
        name: Name,
        context: Context,
        kind: Workload = "Deployment",
        cluster: Cluster = None,
    ) -> ChangeShown | InputRequiredResult:
        """Plan to replace all pods of a workload, a few at a time. It helps against a state that went bad in memory;
        it does not help if diagnose names a wrong image, setting or limit."""
        return await tools.request(context, cluster, KINDS[kind], namespace, name, Restart(at=planned_at()))

    @server.tool(title="Set an image", annotations=CHANGES)
    async def set_image(
        namespace: Namespace,
        name: Name,
        container: Annotated[ObjectName, Field(description="container of the pod", max_length=63)],
        image: Annotated[str, Field(description="image with tag or digest", min_length=1, max_length=512)],
        context: Context,
        kind: Workload = "Deployment",
        cluster: Cluster = None,
    ) -> ChangeShown | InputRequiredResult:
        """Plan another image for one container of a workload."""
        return await tools.request(
            context, cluster, KINDS[kind], namespace, name, SetImage(container=container, image=image)
        )

    @server.tool(title="Roll a deployment back", annotations=CHANGES)
    async def rollback_workload(
        namespace: Namespace,
        name: Name,
        context: Context,
        revision: Annotated[int | None, Field(description="default: the one before", ge=1)] = None,
        cluster: Cluster = None,
    ) -> ChangeShown | InputRequiredResult:
        """Plan the way back to an earlier revision of a Deployment. Use it when the last rollout broke it."""
        who = current_principal.get()
        return await tools.asked(context, lambda: tools.changes.rollback(who, cluster, namespace, name, revision))


def _add_object_tools(server: FastMCP[Any], tools: ChangeTools) -> None:
    @server.tool(title="Apply a manifest", annotations=CHANGES)
    async def apply_manifest(
        manifest: Annotated[dict[str, Any], Field(description="one object: apiVersion, kind, metadata, ...")],
        context: Context,
        cluster: Cluster = None,
    ) -> ChangeShown | InputRequiredResult:
        """Plan a server-side apply of one object. Workloads, jobs, services, config maps, ingresses, autoscalers and
        disruption budgets only: no RBAC, secrets, webhooks, custom resource definitions or namespaces."""
        who = current_principal.get()
        return await tools.asked(context, lambda: tools.changes.apply(who, cluster, manifest))

    @server.tool(title="Delete an object", annotations=CHANGES)
    async def delete_resource(
        kind: DeletableKind, namespace: Namespace, name: Name, context: Context, cluster: Cluster = None
    ) -> ChangeShown | InputRequiredResult:
        """Plan to delete one named object with what it owns. It cannot be undone."""
        return await tools.request(context, cluster, deletable(kind), namespace, name, Delete())

    @server.tool(title="Cordon a node", annotations=CHANGES)
    async def cordon_node(
        name: Name,
        context: Context,
        cordoned: Annotated[bool, Field(description="false: let pods on it again")] = True,
        cluster: Cluster = None,
    ) -> ChangeShown | InputRequiredResult:
        """Plan to let no new pods onto a node, or to let them on again. Pods that run there stay."""
        return await tools.request(context, cluster, NODE, None, name, Cordon(cordoned=cordoned))

    @server.tool(title="Drain a node", annotations=CHANGES)
    async def drain_node(name: Name, context: Context, cluster: Cluster = None) -> ChangeShown | InputRequiredResult:
        """Plan to empty a node: cordon it, and evict its pods as their disruption budgets allow.

        Its plan counts pods and budgets, and names none: list_pods with this node shows those that you may see."""
        return await tools.request(context, cluster, NODE, None, name, Drain())


def _add_following_tools(server: FastMCP[Any], tools: ChangeTools) -> None:
    @server.tool(title="A change", annotations=READS)
    async def get_change(change_id: ChangeId) -> ChangeDetails:
        """Say where a change stands: its plan, steps, approvals and outcome, and the live object."""
        change = await tools.changes.get(current_principal.get(), change_id)
        try:
            live = await tools.changes.live(change)
        except AppError:
            live = None  # the change itself can be told without the cluster
        journal = await tools.changes.journal(change)
        rollout = await tools.changes.rollouts.of(change.id)
        return change_details(change, tools.url(change), tools.changes.is_simulated(change), journal, live, rollout)

    @server.tool(title="Changes", annotations=READS)
    async def list_changes(
        states: Annotated[list[State], Field(description="default: all", max_length=12)] = [],  # noqa: B006
        limit: Annotated[int, Field(description="entries a page", ge=1, le=100)] = 20,
        cursor: Annotated[str | None, Field(description="next_cursor of the page before", max_length=300)] = None,
    ) -> ChangeList:
        """List changes, newest first. Use it to see what waits for a yes, or what was changed lately."""
        question = ["changes", sorted(states)]
        older = decode_cursor(cursor, question, list) if cursor else None
        place = (float(older[0]), str(older[1])) if older else None
        page, rest = await tools.changes.page(current_principal.get(), states, limit, place)
        next_cursor = encode_cursor(list(rest), question) if rest else None
        return ChangeList(items=[change_entry(each, tools.url(each)) for each in page], next_cursor=next_cursor)

    @server.tool(title="Cancel a change", annotations=STOPS)
    async def cancel_change(change_id: ChangeId) -> ChangeShown:
        """Take back a change that you asked for and that is not being executed yet."""
        return tools.shown(await tools.changes.cancel(current_principal.get(), change_id))


def _add_approving_tools(server: FastMCP[Any], tools: ChangeTools) -> None:
    @server.tool(title="Approve a change", annotations=CHANGES)
    async def approve_change(change_id: ChangeId, digest: Digest) -> ChangeShown:
        """Approve somebody else's change, by the digest of what you have seen. Only if your user said so."""
        return tools.shown(await tools.changes.approve(current_principal.get(), change_id, digest, None))

    @server.tool(title="Reject a change", annotations=STOPS)
    async def reject_change(
        change_id: ChangeId,
        reason: Annotated[str, Field(description="for its requester", min_length=1, max_length=1000)],
    ) -> ChangeShown:
        """Reject somebody else's change."""
        return tools.shown(await tools.changes.reject(current_principal.get(), change_id, reason))
