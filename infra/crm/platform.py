"""What a simulated platform is to the HTTP server around it."""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from infra.crm.calls import Answer, Call, Refused
from infra.crm.limits import Window
from infra.crm.seed.records import World

Listener = Callable[["Change"], None]


@dataclass(frozen=True, slots=True)
class Change:
    """A record was written: what a webhook tells. `previous` holds the fields that changed, as they were."""

    kind: str
    action: Literal["created", "updated", "deleted"]
    record: dict[str, Any]
    previous: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook request, signed."""

    body: bytes
    headers: dict[str, str]


class Tokens:
    """Access tokens that were issued, and until when they are good."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until: dict[str, float] = {}

    def issue(self, prefix: str = "") -> str:
        """A new token."""
        token = prefix + secrets.token_urlsafe(32)
        self._until[token] = time.monotonic() + self.seconds
        return token

    def good(self, token: str) -> bool:
        """Whether it was issued here and has not ended."""
        return self._until.get(token, 0.0) > time.monotonic()

    def expire(self) -> None:
        """End all of them."""
        self._until.clear()


class Platform(ABC):
    """One of the three. Its state is in memory: `reset` makes it from the seed, writes change it."""

    name: str
    limits: dict[str, Window]

    def __init__(self, world: World) -> None:
        self.world = world
        self.listeners: list[Listener] = []
        self._held: list[Change] | None = None
        self.tokens = Tokens(7200)
        self.reset()

    @abstractmethod
    def reset(self) -> None:
        """Back to the seed."""

    @abstractmethod
    def answer(self, call: Call) -> Answer:
        """Authenticate, count against the limits, and do what the call asks. Raises Refused."""

    @abstractmethod
    def rate_limited(self, call: Call, retry_after: float) -> Refused:
        """The platform's answer to too many requests."""

    @abstractmethod
    def failed(self, status: int) -> Refused:
        """The platform's answer when it is broken."""

    @abstractmethod
    def unauthorized(self) -> Refused:
        """The platform's answer to a token that has ended."""

    @abstractmethod
    def deliveries(self, change: Change, url: str) -> list[Delivery]:
        """The signed webhook requests that tell a subscriber of a change."""

    def acknowledged(self, body: bytes) -> bool:
        """Whether a subscriber's answer of status 2xx means that it has taken the message."""
        return True

    def changed(
        self,
        kind: str,
        action: Literal["created", "updated", "deleted"],
        record: dict[str, Any],
        previous: dict[str, Any] | None = None,
    ) -> None:
        """Tell everybody who listens; inside `holding` only when the block has ended well."""
        change = Change(kind, action, dict(record), previous or {})
        if self._held is None:
            self._tell(change)
        else:
            self._held.append(change)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """What is written in the block and then taken back is told to nobody."""
        held: list[Change] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
        for change in held:
            self._tell(change)

    def _tell(self, change: Change) -> None:
        for listener in self.listeners:
            listener(change)
