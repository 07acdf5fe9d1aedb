"""Evicts the pods of a node as their disruption budgets allow."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import Conflict, NotFound, Unavailable
from devops.changes.observing import evictable
from devops.changes.ports import ChangeTarget
from devops.ports import Manifest


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
    """Round after round until none is left, the time is over, or `may_go_on`, asked before each eviction, says no."""
    started, evicted = time.monotonic(), 0

    async def why_not(left: int) -> str:
        if time.monotonic() - started > seconds:
            return "The time is over"
        return "" if await may_go_on(left) else "It was stopped"

    while pods := await evictable(target, node):
        gone, why = await _evict_some(target, pods, why_not)
        evicted += gone
        if why:
            left = len(pods) - gone
            rest = f"{left} pods are left, {evicted} were evicted, and the node stays cordoned."
            return Drained(evicted, left, f"{why}: {rest}")
        if not gone:
            await asyncio.sleep(pause_seconds)
    return Drained(evicted, 0, f"The node is cordoned, and {evicted} pods were evicted.")


async def _evict_some(
    target: ChangeTarget, pods: Sequence[Manifest], why_not: Callable[[int], Awaitable[str]]
) -> tuple[int, str]:
    """One round: how many were evicted, and what stopped it."""
    gone = 0
    for pod in pods:
        if "deletionTimestamp" in pod["metadata"]:
            continue
        if why := await why_not(len(pods)):
            return gone, why
        gone += await _evict(target, pod["metadata"])
    return gone, "" if gone else await why_not(len(pods))


async def _evict(target: ChangeTarget, pod: Mapping[str, Any]) -> bool:
    try:
        await target.evict(pod["namespace"], pod["name"], pod["uid"], dry_run=False)
    except (Conflict, NotFound, Unavailable):
        # A budget does not let it go yet, or it is gone already: the next round looks again.
        return False
    return True
