"""Plans a change: dry run, diff, blast radius, risk, what policy demands, and a digest over all of it."""

import asyncio
import secrets
from dataclasses import asdict, dataclass, replace
from typing import Any

from common.errors import Conflict, Denied, NotFound
from common.security.principal import Principal
from devops.changes.change import Change, Draft, Plan, Risk, Target
from devops.changes.clock import SteadyClock
from devops.changes.cloud_operations import RebootInstance, StartInstance, StopInstance, UpdateService, notes_of
from devops.changes.digest import draft_digest
from devops.changes.gates import Gates
from devops.changes.manifests import diff, essence
from devops.changes.observing import Observation, Write, observe, send, write_of
from devops.changes.operations import Cordon, Delete, Drain, Operation, Rollback, Scale, SetImage
from devops.changes.people import actor_of
from devops.changes.policy import ChangePolicy
from devops.changes.ports import ChangeStore, ChangeTarget
from devops.changes.risk import assess
from devops.changes.shown import is_whole
from devops.changes.states import State
from devops.ports import Manifest

TRIES = 5
PAUSE_SECONDS = 0.1
STATES: dict[str, State] = {"allow": "approved", "confirm": "awaiting_confirmation", "approve": "awaiting_approval"}


@dataclass(frozen=True)
class Limits:
    """How long a change waits for its yes, and how many somebody may ask for."""

    ttl_seconds: float = 3600.0
    per_hour: int = 30


class Planner:
    """Turns wishes into changes that wait for the right yes."""

    def __init__(
        self,
        store: ChangeStore,
        policy: ChangePolicy,
        gates: Gates,
        clock: SteadyClock,
        limits: Limits,
        break_glass: bool = False,
    ) -> None:
        self._store = store
        self._policy = policy
        self._break_glass = break_glass
        self._gates = gates
        self._clock = clock
        self._limits = limits

    async def plan(self, who: Principal, target: ChangeTarget, at: Target, operation: Operation) -> Change:
        """A durable change. Raises Denied, NotFound, Conflict (nothing would change), RateLimited."""
        environment, now = self._gates.environment(at), self._clock.now()
        switch = await self._store.switch()
        self._gates.check_switch(switch)
        closed = self._gates.closed(environment, now, switch)
        if closed is not None and not self._break_glass:
            raise closed
        change_id = f"chg-{secrets.token_hex(8)}"
        seen = await observe(target, at, operation)
        risk, _ = assess(operation, at, seen.live, seen.blast)
        self._policy.requirement(who, operation.tool, at, environment, risk)  # before anything is sent
        if closed is not None:
            self._check_may_break(closed, who, operation, at, risk)
        seen, write, after = await _dry_run(target, at, operation, seen, change_id)
        risk, reasons = assess(operation, at, seen.live, seen.blast, after)
        requirement = self._policy.requirement(who, operation.tool, at, environment, risk)
        if closed is not None:
            self._check_may_break(closed, who, operation, at, risk)
            # Policy says what it needs in other times; now it is not executed without a second person.
            requirement = replace(requirement, decision="approve", approvals=max(1, requirement.approvals))
            reasons = [*reasons, f"only by break-glass: {closed.message}"]
        _refuse_nothing(operation, seen, after)
        changed = diff(seen.live, after)
        if not is_whole(changed):
            reasons = [*reasons, "it is too long to be shown whole: what was cut off is approved unseen"]
        plan = Plan(
            summary=_summary(operation, at, seen),
            diff=changed,
            blast=replace(seen.blast, notes=notes_of(operation, seen.live)),
            reasons=reasons,
            undo=_undo(operation, at, seen),
        )
        draft = Draft(
            id=change_id,
            requester=actor_of(who),
            tool=operation.tool,
            target=at,
            operation=operation.model_dump(mode="json"),
            environment=environment,
            risk=risk,
            requirement=requirement,
            plan=plan,
            uid=seen.uid,
            resource_version=seen.resource_version,
            fingerprint=seen.fingerprint,
            write=write.digest(at),
            digest="",
            created_at=now,
            expires_at=now + self._limits.ttl_seconds,
        )
        draft = replace(draft, digest=draft_digest(draft))
        return await self._store.add(draft, STATES[requirement.decision], self._limits.per_hour)

    def _check_may_break(self, closed: Denied, who: Principal, operation: Operation, at: Target, risk: Risk) -> None:
        """Raises what closed it, unless policy lets this person ask to break the glass for that."""
        environment = self._gates.environment(at)
        if not self._policy.may_ask_for_break_glass(who, operation.tool, at, environment, risk):
            raise closed


async def _dry_run(
    target: ChangeTarget, at: Target, operation: Operation, seen: Observation, change_id: str
) -> tuple[Observation, Write, Manifest | None]:
    """What is there, what would be sent, and what the server would make of it."""
    attempt = 0
    while True:
        write = write_of(operation, at, seen)
        try:
            return seen, write, await send(target, at, write, seen, change_id, dry_run=True)
        except Conflict:
            # Controllers write the status of what is just rolling out.
            attempt += 1
            if attempt == TRIES:
                raise
        await asyncio.sleep(PAUSE_SECONDS * attempt)
        seen = await observe(target, at, operation)


def _refuse_nothing(operation: Operation, seen: Observation, after: Manifest | None) -> None:
    if isinstance(operation, Drain):
        return
    if after is not None and seen.live is not None and essence(after) == essence(seen.live):
        raise Conflict("Nothing would change: the object is like that already.", "Read it again.")


def _summary(operation: Operation, at: Target, seen: Observation) -> str:
    where = f"{at} on {at.cluster}"
    match operation:
        case Scale():
            return f"Scale {where} from {seen.blast.replicas} to {operation.replicas} replicas"
        case SetImage():
            return f"Set the image of container {operation.container} of {where} to {operation.image}"
        case Rollback():
            return f"Roll {where} back to revision {operation.revision}"
        case Cordon():
            return f"{'Cordon' if operation.cordoned else 'Uncordon'} {where}"
        case Drain():
            return f"Drain {where}: evict {seen.blast.pod_count} pods"
        case Delete():
            return f"Delete {where} with its {seen.blast.pod_count} pods" if seen.pods else f"Delete {where}"
        case StartInstance() | StopInstance() | RebootInstance():
            return f"{operation.tool.partition('_')[0].capitalize()} {where}"
        case UpdateService():
            return f"Update {where}: {', '.join(_updates(operation, seen))}"
    verb = {"apply_manifest": "Apply a manifest to", "restart_workload": "Restart"}[operation.tool]
    return f"{verb} {where}" if seen.live else f"Create {where}"


def _updates(operation: UpdateService, seen: Observation) -> list[str]:
    parts = []
    if operation.desired_count is not None:
        parts.append(f"from {seen.blast.replicas} to {operation.desired_count} tasks")
    if operation.task_definition is not None:
        parts.append(f"task definition {operation.task_definition}")
    if operation.redeployed_at is not None:
        parts.append("a new deployment")
    return parts


def _undo(operation: Operation, at: Target, seen: Observation) -> dict[str, Any] | None:
    """The call that takes it back, to be planned and approved as any other."""
    if seen.live is None:
        return None
    same = {key: value for key, value in asdict(at).items() if value is not None}
    match operation:
        case Scale():
            return {"tool": "scale_workload", "arguments": {**same, "replicas": seen.blast.replicas}}
        case SetImage():
            containers = seen.live["spec"]["template"]["spec"]["containers"]
            image = next(each["image"] for each in containers if each["name"] == operation.container)
            more = {"container": operation.container, "image": image}
            return {"tool": "set_image", "arguments": {**same, **more}}
        case Rollback():
            del same["kind"]  # only Deployments have revisions
            return {"tool": "rollback_workload", "arguments": same}
        case Cordon() | Drain():
            was = bool(seen.live["spec"].get("unschedulable"))
            return {"tool": "cordon_node", "arguments": {"cluster": at.cluster, "name": at.name, "cordoned": was}}
        case StartInstance() | StopInstance():
            tool = "stop_instance" if isinstance(operation, StartInstance) else "start_instance"
            return {"tool": tool, "arguments": {"account": at.cluster, "instance": at.name}}
        case UpdateService() if operation.desired_count is not None or operation.task_definition is not None:
            arguments = {"account": at.cluster, "ecs_cluster": at.namespace, "service": at.name}
            if operation.desired_count is not None:
                arguments["desired_count"] = seen.live["spec"]["replicas"]
            if operation.task_definition is not None:
                arguments["task_definition"] = seen.live["spec"]["taskDefinition"]
            return {"tool": "update_service", "arguments": arguments}
    return None


def require_target(targets: "dict[str, ChangeTarget]", cluster: str) -> ChangeTarget:
    """Raises NotFound for a cluster that is not there any more."""
    if cluster not in targets:
        raise NotFound(f"There is no cluster {cluster}.", f"There is: {', '.join(sorted(targets))}.")
    return targets[cluster]
