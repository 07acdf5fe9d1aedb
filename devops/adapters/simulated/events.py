"""Events, as the controllers write them: the same thing again is counted, not repeated."""

import copy

from devops.adapters.simulated.state import State, rfc3339, short_hash
from devops.kinds import EVENT
from devops.ports import Manifest

KEPT_SECONDS = 3600.0


def record(state: State, about: Manifest, kind: str, reason: str, message: str) -> None:
    """Write an event, or count it once more if its time has moved on."""
    metadata = about["metadata"]
    namespace = metadata.get("namespace", "default")
    name = f"{metadata['name']}.{short_hash(metadata['uid'], reason, message, length=16)}"
    found = state.find(EVENT, namespace, name)
    if found is not None:
        if found["lastTimestamp"] != state.now:
            state.put(EVENT, {**copy.deepcopy(found), "count": found["count"] + 1, "lastTimestamp": state.now})
        return
    state.create(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": metadata["name"],
                "namespace": namespace,
                "uid": metadata["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": state.now,
            "lastTimestamp": state.now,
            "source": {"component": "simulated"},
        }
    )
    _forget_old(state)


def _forget_old(state: State) -> None:
    oldest = rfc3339(state.clock() - KEPT_SECONDS)
    for event in [event for event in state.all(EVENT) if event["lastTimestamp"] < oldest]:
        state.delete(EVENT, event["metadata"]["namespace"], event["metadata"]["name"])
