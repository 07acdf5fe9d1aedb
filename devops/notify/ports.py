"""What notifications need from the world."""

from collections.abc import Sequence
from typing import Protocol

from devops.notify.notice import Notice


class Notifier(Protocol):
    """A channel by which something is told."""

    @property
    def channel(self) -> str:
        """Its name in the outbox."""
        ...

    async def send(self, notice: Notice) -> None:
        """Deliver it within seconds. Raises AppError if that is not certain; Gone if it never will be."""
        ...

    async def check(self) -> str:
        """For `triptych doctor`: that it can be reached, without telling anybody anything. Raises with what to do."""
        ...

    async def close(self) -> None: ...


class Outbox(Protocol):
    """What is still to be told. Rows come into being with the step that they tell of, in its transaction."""

    async def take(self, channel: str, limit: int) -> Sequence[Notice]:
        """Those that are due, oldest first; for a while they are nobody else's."""
        ...

    async def sent(self, notice: Notice) -> None: ...

    async def again(self, notice: Notice, problem: str, in_seconds: float) -> None:
        """It was not delivered, and is due again later."""
        ...

    async def give_up(self, notice: Notice, problem: str) -> None:
        """It is not tried any more, and stays to be looked at."""
        ...

    async def oldest(self) -> float:
        """Seconds that the first of them has waited; 0 if there is none."""
        ...

    async def prune(self) -> None:
        """Forget what was sent, or given up, long ago."""
        ...
