"""The rules: what the facts mean, one rule for each cause, each with the lines that show it.

A rule gives evidence or nothing. The weight ranks causes: near 100 the facts name the cause themselves, near 50 they
only fit it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from devops.diagnosis.facts import Evidence, Facts, name_of
from devops.pods import condition
from devops.quantities import parse_quantity
from devops.views import probe_text

Look = Callable[[Facts], Iterator[Evidence]]
MAX_EVIDENCE = 6
WORRIES = ("fatal", "panic", "error", "exception", "refused", "denied", "cannot", "failed", "timeout")
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(frozen=True)
class Cause:
    """A likely cause, with what shows it and what to do next."""

    name: str
    """Of its runbook, too."""
    cause: str
    weight: int
    evidence: list[Evidence]
    next_step: str


def _waiting(facts: Facts, *reasons: str) -> Iterator[Evidence]:
    for pod, status in facts.failing():
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in reasons:
            text = f"{waiting['reason']}: {waiting.get('message', '')} (image {status.get('image')})"
            yield Evidence(f"container {status['name']} of {name_of(pod)}", text)


def _events(facts: Facts, *reasons: str, containing: str = "") -> Iterator[Evidence]:
    for event in facts.about(*reasons):
        if containing in event.message:
            source = f"event {event.reason} of {event.about} at {event.time}, {event.count} times"
            yield Evidence(source, event.message)


def _image(facts: Facts) -> Iterator[Evidence]:
    found = list(_waiting(facts, "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"))
    if found:
        yield from (*found[:2], *_events(facts, "Failed", containing="pull"))


def _settings(facts: Facts) -> Iterator[Evidence]:
    found = list(_waiting(facts, "CreateContainerConfigError", "CreateContainerError", "RunContainerError"))
    yield from found[:2]
    for name, values in facts.workload.config.items():
        if found and "(missing)" in values:
            yield Evidence(f"ConfigMap/{name}", values["(missing)"])


def _ended(facts: Facts, *reasons: str) -> Iterator[Evidence]:
    for pod, status in facts.failing():
        for field in ("lastState", "state"):
            end = (status.get(field) or {}).get("terminated") or {}
            if end.get("reason") in reasons:
                text = f"ended with {end['reason']}, exit code {end.get('exitCode')}, at {end.get('finishedAt')}"
                source = f"container {status['name']} of {name_of(pod)}, {status.get('restartCount', 0)} restarts"
                yield Evidence(source, text)
                break


def _memory(facts: Facts) -> Iterator[Evidence]:
    ends = list(_ended(facts, "OOMKilled"))
    if ends:
        yield from ends[:2]
        for container in facts.workload.item["spec"]["template"]["spec"]["containers"]:
            limit = (container.get("resources") or {}).get("limits", {}).get("memory", "none")
            yield Evidence(f"limits of container {container['name']}", f"memory: {limit}")


def _crash(facts: Facts) -> Iterator[Evidence]:
    ends = [*_ended(facts, "Error", "ContainerCannotRun", "StartError"), *_waiting(facts, "CrashLoopBackOff")]
    if ends and not any(_ended(facts, "OOMKilled")):
        yield from (*ends[:2], *facts.said(*WORRIES)[:2], *list(_events(facts, "BackOff"))[:1])


def _full(facts: Facts) -> Iterator[Evidence]:
    for pod in facts.unready:
        scheduled = condition(pod, "PodScheduled")
        if scheduled.get("reason") == "Unschedulable" and "Insufficient" in scheduled.get("message", ""):
            yield Evidence(f"condition PodScheduled of {name_of(pod)}", scheduled["message"])
            for container in pod["spec"]["containers"]:
                asked = (container.get("resources") or {}).get("requests") or {}
                text = ", ".join(f"{key}: {value}" for key, value in asked.items())
                yield Evidence(f"requests of container {container['name']}", text)


def _no_node(facts: Facts) -> Iterator[Evidence]:
    for pod in facts.unready:
        scheduled = condition(pod, "PodScheduled")
        if scheduled.get("reason") == "Unschedulable" and "Insufficient" not in scheduled.get("message", ""):
            yield Evidence(f"condition PodScheduled of {name_of(pod)}", scheduled["message"])


def _quota(facts: Facts) -> Iterator[Evidence]:
    refused = list(_events(facts, "FailedCreate", containing="exceeded quota"))
    failure = condition(facts.workload.item, "ReplicaFailure")
    if "exceeded quota" in failure.get("message", ""):
        yield Evidence(f"condition ReplicaFailure of {name_of(facts.workload.item)}", failure["message"])
    yield from refused[:1]
    if refused or failure:
        for quota in facts.quotas:
            status = quota.get("status", {})
            for name, hard in status.get("hard", {}).items():
                used = status.get("used", {}).get(name, "0")
                if parse_quantity(used) >= parse_quantity(hard):
                    yield Evidence(f"ResourceQuota/{quota['metadata']['name']}", f"{name}: {used} of {hard} used")


def _not_created(facts: Facts) -> Iterator[Evidence]:
    for evidence in _events(facts, "FailedCreate"):
        if "exceeded quota" not in evidence.line:
            yield evidence


def _readiness(facts: Facts) -> Iterator[Evidence]:
    running = [pod for pod, status in facts.failing() if "running" in (status.get("state") or {})]
    if running:
        probes = list(_events(facts, "Unhealthy"))
        yield from probes[:2]
        yield from facts.said(*WORRIES, " 500 ", " 503 ")[:2]
        for container in facts.workload.item["spec"]["template"]["spec"]["containers"]:
            if probe := container.get("readinessProbe"):
                yield Evidence(f"readiness probe of container {container['name']}", probe_text(probe))
        yield Evidence(f"condition Ready of {name_of(running[0])}", "the container runs, and is not ready")


def _volumes(facts: Facts) -> Iterator[Evidence]:
    yield from _events(facts, "FailedMount", "FailedAttachVolume", "ProvisioningFailed")


def _nodes(facts: Facts) -> Iterator[Evidence]:
    for name, node in facts.nodes.items():
        for kind in PRESSURES:
            if condition(node, kind).get("status") == "True":
                yield Evidence(f"condition {kind} of Node/{name}", condition(node, kind).get("message") or "True")
        if condition(node, "Ready").get("status") != "True":
            yield Evidence(f"condition Ready of Node/{name}", condition(node, "Ready").get("message") or "not ready")
    for pod in facts.unready:
        if pod.get("status", {}).get("reason") == "Evicted":
            yield Evidence(name_of(pod), str(pod["status"].get("message", "Evicted")))


def _change(facts: Facts) -> Iterator[Evidence]:
    """The pods of the newest revision fail, and only those."""
    revisions = facts.workload.revisions
    if len(revisions) < 2 or not revisions[0].changes or not facts.unready:
        return
    owners = {reference["uid"] for pod in facts.unready for reference in pod["metadata"].get("ownerReferences") or []}
    if owners == {revisions[0].uid}:
        for change in revisions[0].changes:
            yield Evidence(f"revision {revisions[0].number} of {revisions[0].created}", change)


def _stopped(facts: Facts) -> Iterator[Evidence]:
    if facts.workload.item["spec"].get("paused"):
        yield Evidence(name_of(facts.workload.item), "the rollout is paused")
    if facts.wanted == 0:
        yield Evidence(name_of(facts.workload.item), "replicas: 0")


@dataclass(frozen=True)
class Rule:
    """A cause, what shows it, and what to do next. Its runbook is `runbooks/NAME.md`."""

    name: str
    weight: int
    cause: str
    look: Look
    next_step: str


RULES = (
    Rule(
        "quota-used-up",
        98,
        "A quota of the namespace is used up",
        _quota,
        "Raise the quota, or ask for fewer or smaller replicas.",
    ),
    Rule(
        "image-not-pulled",
        97,
        "The image cannot be pulled",
        _image,
        "Correct the image's name or tag, or roll back.",
    ),
    Rule(
        "settings-missing",
        96,
        "Settings that a container needs are missing",
        _settings,
        "Create the config map or secret, or roll back.",
    ),
    Rule(
        "out-of-memory",
        95,
        "Out of memory: a container uses more than its limit",
        _memory,
        "Raise the limit, or find what needs it.",
    ),
    Rule(
        "no-room",
        94,
        "No node has room for the pod",
        _full,
        "Scale something else down, ask for less, or add a node.",
    ),
    Rule(
        "no-node",
        93,
        "No node may take the pod",
        _no_node,
        "Look at node selectors, taints and cordoned nodes (list_nodes).",
    ),
    Rule(
        "container-ends",
        90,
        "A container ends soon after it starts",
        _crash,
        "Read get_logs with previous=true; roll back if a change fits.",
    ),
    Rule(
        "volume-not-mounted",
        88,
        "A volume cannot be mounted",
        _volumes,
        "Look at the claims that the pod names.",
    ),
    Rule(
        "pods-not-created",
        85,
        "Pods cannot be created",
        _not_created,
        "Read the message: admission or rights refuse them.",
    ),
    Rule(
        "not-ready",
        80,
        "The readiness probe fails",
        _readiness,
        "Read get_logs of the pod; roll back if a change fits.",
    ),
    Rule(
        "newest-revision",
        75,
        "It began with the newest revision",
        _change,
        "If the change is the cause, roll back to the revision before.",
    ),
    Rule(
        "node-in-trouble",
        60,
        "A node that runs the pods is in trouble",
        _nodes,
        "Look at list_nodes; drain the node if it stays so.",
    ),
    Rule(
        "stopped",
        50,
        "It is stopped on purpose",
        _stopped,
        "Resume the rollout or scale it up, if that was not meant.",
    ),
)


def likely_causes(facts: Facts) -> list[Cause]:
    """The causes that the facts show, the likeliest first."""
    if facts.healthy and facts.wanted:
        return []
    found = [
        Cause(rule.name, rule.cause, rule.weight, evidence[:MAX_EVIDENCE], rule.next_step)
        for rule in RULES
        if (evidence := list(rule.look(facts)))
    ]
    return sorted(found, key=lambda one: -one.weight)
