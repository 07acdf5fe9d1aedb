"""How often a replica's memory has what is asked for, with the gateway's ring and without."""

import random
from collections import deque
from collections.abc import Callable

from common.cache.entry import Entry
from common.cache.memory import Memory
from infra.gateway.ring import Ring

REPLICAS = [f"kb/{number}" for number in range(1, 5)]
TENANTS, THINGS = 400, 50
"""Each tenant asks for its own things, a few of them most of the time; some tenants ask a lot more than others."""
MEMORY = 2_000
"""Entries of each replica: all four together hold less than half of everything."""
IN_FLIGHT = 32
FOREVER = float("inf")


def _asked(count: int) -> list[tuple[str, str]]:
    drawn = random.Random(7)  # noqa: S311 - the same choices each time
    tenants = drawn.choices(range(TENANTS), [1 / (place + 1) ** 0.8 for place in range(TENANTS)], k=count)
    things = drawn.choices(range(THINGS), [1 / (place + 1) for place in range(THINGS)], k=count)
    return [(f"tenant-{tenant}", f"{tenant}/{thing}") for tenant, thing in zip(tenants, things, strict=True)]


def hit_rate(count: int, with_ring: bool) -> tuple[float, float]:
    """Share of hits after the first half, and the busiest replica's calls as a multiple of its fair share."""
    ring, load, served = Ring(REPLICAS), dict.fromkeys(REPLICAS, 0), dict.fromkeys(REPLICAS, 0)
    memories = {name: Memory(MEMORY) for name in REPLICAS}
    running: deque[str] = deque()
    turn = iter(range(count))
    pick: Callable[[str], str] = (
        (lambda tenant: ring.pick(tenant, REPLICAS, load.__getitem__))
        if with_ring
        else (lambda _: REPLICAS[next(turn) % len(REPLICAS)])
    )
    hits = 0
    for number, (tenant, key) in enumerate(_asked(count)):
        name = pick(tenant)
        load[name] += 1
        served[name] += 1
        running.append(name)
        if len(running) > IN_FLIGHT:
            load[running.popleft()] -= 1
        memory = memories[name]
        if memory.get(key, 0.0) is not None:
            hits += number >= count // 2
        else:
            memory.put(key, Entry(key, 0.0, FOREVER, FOREVER, frozenset()), memory.moment(), 0.0)
    return hits / (count - count // 2), max(served.values()) * len(REPLICAS) / count
