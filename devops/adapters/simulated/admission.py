"""What the API server refuses: a pod beyond a quota, an eviction beyond a disruption budget."""

from common.errors import Conflict, Denied
from devops.adapters.simulated.state import State
from devops.kinds import BUDGET, POD, QUOTA
from devops.ports import Manifest
from devops.quantities import parse_quantity, show_cpu, show_memory


def requested(pod: Manifest, resource: str, which: str = "requests") -> float:
    """Sum over the containers, in cores or bytes."""
    return sum(
        parse_quantity(container.get("resources", {}).get(which, {}).get(resource, 0))
        for container in pod["spec"]["containers"]
    )


def _amount(pod: Manifest, name: str) -> float:
    if name == "pods":
        return 1.0
    which, _, resource = name.rpartition(".")
    return requested(pod, resource, which or "requests")


def _shown(name: str, value: float) -> str:
    if name == "pods":
        return str(round(value))
    return show_memory(value) if name.endswith("memory") else show_cpu(value)


def admit(state: State, pod: Manifest) -> None:
    """Raises Denied for a pod that a quota of its namespace has no room for."""
    namespace = pod["metadata"]["namespace"]
    live = [other for other in state.all(POD, namespace) if other.get("status", {}).get("phase") != "Failed"]
    for quota in state.all(QUOTA, namespace):
        for name, hard in quota["spec"]["hard"].items():
            used, more = sum(_amount(other, name) for other in live), _amount(pod, name)
            if used + more > parse_quantity(hard) + 1e-9:
                wanted = f"requested: {name}={_shown(name, more)}, used: {name}={_shown(name, used)}"
                # Its own name would be another one with each attempt.
                owner = pod["metadata"]["name"].rpartition("-")[0]
                what = f'pods "{owner}-" is forbidden: exceeded quota: {quota["metadata"]["name"]}'
                raise Denied(f"{what}, {wanted}, limited: {name}={hard}")


def quota_use(state: State, quota: Manifest) -> dict[str, str]:
    """What is used of each limit."""
    pods = list(state.all(POD, quota["metadata"]["namespace"]))
    return {name: _shown(name, sum(_amount(pod, name) for pod in pods)) for name in quota["spec"]["hard"]}


def check_budgets(state: State, pod: Manifest) -> None:
    """Raises Conflict if a disruption budget does not allow the pod to go now."""
    labels = pod["metadata"].get("labels", {}).items()
    for budget in state.all(BUDGET, pod["metadata"]["namespace"]):
        selected = budget["spec"]["selector"]["matchLabels"].items() <= labels
        if selected and not budget.get("status", {}).get("disruptionsAllowed"):
            name = budget["metadata"]["name"]
            raise Conflict(f"The disruption budget {name} does not allow that pod to go now.", "Try again later.")
