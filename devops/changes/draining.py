"""Evicts the pods of a node as their disruption budgets allow."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import Conflict, NotFound, Unavailable
from devops.changes.observing import evictable
from devops.changes.ports import ChangeTarget


@dataclass(frozen=True)
class Drained:
    """What came of it."""

    evicted: int
    left: int
    text: str


async def evict_all(
    target: ChangeTarget,
    node: str,
    may_go_on: Callable[[int], Awaitable[bool]],
    seconds: float,
    pause_seconds: float,
) -> Drained:
    """Round after round until none is left, the time is over, or `may_go_on` says no."""
    started, evicted = time.monotonic(), 0
    while True:
        pods = await evictable(target, node)
        if not pods:
            return Drained(evicted, 0, f"The node is cordoned, and {evicted} pods were evicted.")
        rest = f"{len(pods)} pods are left, {evicted} were evicted, and the node stays cordoned."
        if time.monotonic() - started > seconds:
            return Drained(evicted, len(pods), f"The time is over: {rest}")
        if not await may_go_on(len(pods)):
            return Drained(evicted, len(pods), f"It was stopped: {rest}")
        gone = 0
        for pod in pods:
            if "deletionTimestamp" not in pod["metadata"]:
                gone += await _evict(target, pod["metadata"])
        evicted += gone
        if not gone:
            await asyncio.sleep(pause_seconds)


async def _evict(target: ChangeTarget, pod: Mapping[str, Any]) -> bool:
    try:
        await target.evict(pod["namespace"], pod["name"], pod["uid"], dry_run=False)
    except (Conflict, NotFound, Unavailable):
        # A budget does not let it go yet, or it is gone already: the next round looks again.
        return False
    return True
