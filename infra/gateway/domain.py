"""A domain: its replicas, which of them answer, and how much it may take of the gateway."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from common.errors import Denied, Unavailable
from common.http.upstream import Meter
from common.resilience.breaker import Breaker
from common.resilience.bulkhead import Bulkhead
from infra.gateway.messages import Era
from infra.gateway.passport import Passport
from infra.gateway.ring import Ring
from infra.gateway.settings import DomainLimits
from infra.gateway.wire import Wire

State = Literal["unknown", "ready", "draining", "down"]
USABLE: tuple[State, ...] = ("ready", "unknown")


REFUSED_SECONDS = 30.0
MOST_REFUSED = 10_000


class NotAccepted(Denied):
    """The domain does not take the caller's token."""

    def __init__(self, prefix: str) -> None:
        super().__init__(f"{prefix} does not accept your token.", "Ask the operator for access to it.")


@dataclass
class Replica:
    """One server process of a domain."""

    name: str
    """`kb/1`: in metrics, pages and logs."""
    url: str
    breaker: Breaker
    meter: Meter
    state: State = "unknown"
    in_flight: int = 0
    since: float = field(default_factory=time.monotonic)
    answered: float = 0.0
    """When it last answered a call (monotonic clock)."""

    @property
    def usable(self) -> bool:
        return self.state in USABLE and self.breaker.state != "open"


@dataclass
class Domain:
    """All that serves one tool prefix."""

    prefix: str
    replicas: Sequence[Replica]
    limits: DomainLimits
    bulkhead: Bulkhead
    wire: Wire
    passport: Passport
    check_seconds: float
    era: Era | None = None
    """What it is spoken to in; None until it was asked."""

    def __post_init__(self) -> None:
        self._by_name = {replica.name: replica for replica in self.replicas}
        self._ring = Ring(list(self._by_name))
        self._refused: OrderedDict[bytes, float] = OrderedDict()

    @property
    def up(self) -> bool:
        return any(replica.usable for replica in self.replicas)

    def choose(self, key: str, tried: Sequence[Replica] = ()) -> Replica | None:
        """The replica for this key's next try, or None if each that may answer was tried.

        One that drains still answers for a while. It is asked if there is no other: who comes back may be noticed later
        than who goes.
        """
        left = [each for each in self.replicas if each not in tried and each.breaker.state != "open"]
        usable = [each.name for each in left if each.usable] or [each.name for each in left if each.state == "draining"]
        if not usable:
            return None
        return self._by_name[self._ring.pick(key, usable, lambda name: self._by_name[name].in_flight)]

    def check_accepts(self, digest: bytes) -> None:
        """Raises NotAccepted if it refused this token a moment ago.

        Asked again and again, it would count failed sign-ins against the gateway's address, and lock all others out.
        """
        if self._refused.get(digest, 0.0) > time.monotonic():
            raise NotAccepted(self.prefix)

    def refused(self, digest: bytes) -> NotAccepted:
        """It does not take this token; remembered for a while."""
        self._refused[digest] = time.monotonic() + REFUSED_SECONDS
        while len(self._refused) > MOST_REFUSED:
            self._refused.popitem(last=False)
        return NotAccepted(self.prefix)

    def unavailable(self) -> Unavailable:
        """What a call is told while no replica can be used."""
        return Unavailable(
            f"The servers behind {self.prefix}_* do not answer at the moment; all other tools work.",
            "Go on with those, and try this again then.",
            retry_after=max(self.check_seconds, 1.0),
        )
