"""A consistent-hash ring with bounded loads: a tenant's calls go to one replica, as long as that is not overloaded.

Karger et al., Consistent Hashing and Random Trees, STOC 1997; Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing
with Bounded Loads, SODA 2018.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b

POINTS = 128
"""Of each node on the ring: the more there are, the more even are the shares."""
SLACK = 1.25
"""A node takes at most this many times its fair share of the calls in flight ..."""
FLOOR = 8
"""... or this many: with few calls in flight a fair share is less than what one person asks at once."""


def _place(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


class Ring:
    """Nodes by name. The same names make the same ring in every process."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self.nodes = tuple(nodes)
        placed = sorted((_place(f"{node}#{point}"), node) for node in nodes for point in range(POINTS))
        self._places = [place for place, _ in placed]
        self._owners = [node for _, node in placed]
        self.order = lru_cache(maxsize=10_000)(self._order)

    def _order(self, key: str) -> tuple[str, ...]:
        """All nodes, as they are met from the key's place on: the first is the key's own."""
        start = bisect_right(self._places, _place(key))
        return tuple(dict.fromkeys(self._owners[start:] + self._owners[:start]))

    def pick(self, key: str, usable: Sequence[str], load: Callable[[str], int]) -> str:
        """Of the usable nodes the first from the key's place on that has not more than its share of all calls."""
        total = sum(load(node) for node in usable) + 1
        most = max(math.ceil(SLACK * total / len(usable)), FLOOR)
        allowed = set(usable)
        return next(node for node in self.order(key) if node in allowed and load(node) < most)
