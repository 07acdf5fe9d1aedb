"""What became of a change of a Deployment after the cluster accepted it: replicas, and whether it stands still."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from devops.changes.change import Draft
from devops.changes.digest import digest_of
from devops.changes.manifests import mark_of
from devops.changes.operations import REVISION, revision_of
from devops.pods import condition, container_statuses, is_owned
from devops.ports import Manifest

TOOLS = frozenset({"set_image", "restart_workload", "rollback_workload", "apply_manifest"})
RolloutState: TypeAlias = Literal["progressing", "stuck", "halted", "complete", "superseded", "gone", "unwatched"]
WATCHED: frozenset[RolloutState] = frozenset({"progressing", "stuck"})
"""The others are final."""
OFFERS_ROLLBACK: frozenset[RolloutState] = frozenset({"stuck", "halted"})
NEVER_STARTS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"})
CRASHES = 2
"""Restarts of one container of the new revision that are no accident any more."""
MAX_REASON = 300
WATCHER = "rollout-watcher"
"""Who halts one."""


@dataclass(frozen=True)
class Rollout:
    """The job that follows one executed change. Times are seconds since 1970."""

    change_id: str
    state: RolloutState
    began_at: float
    progressed_at: float
    """When a number last went up."""
    wanted: int = 0
    updated: int = 0
    ready: int = 0
    """Of the new revision."""
    old: int = 0
    """Pods of earlier revisions that are still there."""
    reason: str = ""
    template: str = ""
    """Digest of the pod template that is rolled out."""
    version: int = 0
    """Counts the looks that were kept."""

    @property
    def is_watched(self) -> bool:
        return self.state in WATCHED

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Grows, part by part, while it moves."""
        return self.updated, self.ready, -self.old


@dataclass(frozen=True)
class Patience:
    """Seconds: without a new number it stands still, and after so long nobody looks any more."""

    stall: float = 120.0
    watch: float = 3600.0


def is_rollout(draft: Draft) -> bool:
    """Whether the change starts one."""
    return draft.target.kind == "Deployment" and draft.tool in TOOLS


def template_of(live: Manifest) -> str:
    """Digest of what its pods are made of."""
    return digest_of(live["spec"]["template"])


def looked(
    before: Rollout,
    live: Manifest | None,
    replica_sets: Sequence[Manifest],
    pods: Sequence[Manifest],
    now: float,
    patience: Patience,
) -> Rollout:
    """What is to be said of it now."""
    if live is None:
        return replace(before, state="gone", reason="The Deployment was deleted.")
    template = template_of(live)
    if before.template not in ("", template) or (not before.template and mark_of(live) != before.change_id):
        return replace(before, state="superseded", reason="Somebody has changed the Deployment since.")
    seen = _counted(replace(before, template=template), live, replica_sets)
    if seen.numbers != before.numbers or before.wanted != seen.wanted:
        seen = replace(seen, progressed_at=now)
    if live["spec"].get("paused"):
        return replace(seen, state="halted", reason=before.reason or "The Deployment is paused.")
    if _is_complete(live, seen):
        return replace(seen, state="complete", reason="")
    if now - before.began_at > patience.watch:
        return replace(seen, state="unwatched", reason="It did not end in time; nobody looks any more.")
    reason = _trouble(live, _newest(live, replica_sets), pods, seen, now, patience)
    return replace(seen, state="stuck" if reason else "progressing", reason=reason[:MAX_REASON])


def unseen(before: Rollout, now: float, patience: Patience) -> Rollout:
    """What is to be said of it when it could not be looked at."""
    if now - before.began_at > patience.watch:
        return replace(before, state="unwatched", reason="It could not be read to its end; nobody looks any more.")
    return before


def _counted(rollout: Rollout, live: Manifest, replica_sets: Sequence[Manifest]) -> Rollout:
    status, newest = live.get("status") or {}, _newest(live, replica_sets)
    wanted = live["spec"].get("replicas")
    ours = (newest or {}).get("status") or {}
    total, updated = int(status.get("replicas") or 0), int(ours.get("replicas") or 0)
    return replace(
        rollout,
        wanted=1 if wanted is None else int(wanted),
        updated=updated,
        ready=int(ours.get("readyReplicas") or 0),
        old=max(0, total - updated),
    )


def _newest(live: Manifest, replica_sets: Sequence[Manifest]) -> Manifest | None:
    """The ReplicaSet of the current revision, once there is one."""
    uid, revision = live["metadata"]["uid"], str((live["metadata"].get("annotations") or {}).get(REVISION, ""))
    owned = [each for each in replica_sets if is_owned(each, [uid]) and str(revision_of(each)) == revision]
    return owned[0] if owned and _observed(live) else None


def _observed(live: Manifest) -> bool:
    """Whether the controller has seen this spec: before that its numbers are those of the one before."""
    seen = int((live.get("status") or {}).get("observedGeneration") or 0)
    return seen >= int(live["metadata"].get("generation") or 0)


def _is_complete(live: Manifest, rollout: Rollout) -> bool:
    available = int((live.get("status") or {}).get("availableReplicas") or 0)
    enough = rollout.updated == rollout.ready == rollout.wanted and available >= rollout.wanted
    return _observed(live) and enough and rollout.old == 0


def _trouble(
    live: Manifest,
    newest: Manifest | None,
    pods: Sequence[Manifest],
    rollout: Rollout,
    now: float,
    patience: Patience,
) -> str:
    if not _observed(live):
        return ""
    uid = newest["metadata"]["uid"] if newest else ""
    for pod in pods:
        if is_owned(pod, [uid]) and (reason := _failing(pod)):
            return reason
    if condition(live, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return "The cluster's own deadline for progress is over."
    if condition(live, "ReplicaFailure").get("status") == "True":
        return "The cluster refuses to create its pods: diagnose says why."
    if now - rollout.progressed_at > patience.stall:
        return f"No replica became ready for {now - rollout.progressed_at:.0f} s."
    return ""


def _failing(pod: Manifest) -> str:
    """Why a pod of the new revision will not run by waiting."""
    for status in container_statuses(pod):
        waiting: dict[str, Any] = (status.get("state") or {}).get("waiting") or {}
        reason, restarts = str(waiting.get("reason") or ""), int(status.get("restartCount") or 0)
        if reason in NEVER_STARTS:
            return f"Container {status['name']} does not start: {reason}."
        if restarts >= CRASHES and not status.get("ready"):
            return f"Container {status['name']} crashes: {restarts} restarts."
    return ""
