"""Processes that die in the middle of executing changes.

`python -m tests.support.crashing_change FOLDER` executes what is approved until it is killed; each write that is
really sent is noted first in FOLDER/sent.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.changing import Bench, bench

CRASHED = 9
WRITES = frozenset({"create", "replace", "apply", "delete", "evict"})


class Countdown:
    """Ends the process, hard, at its nth tick."""

    def __init__(self, ticks: int) -> None:
        self.left = ticks

    def tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            os._exit(CRASHED)


class Watched:
    """Anything whose every asynchronous call is a place to die: just before it, and just after."""

    def __init__(self, inner: Any, countdown: Countdown, sent: Path) -> None:
        self._inner = inner
        self._countdown = countdown
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(value):
            return value
        return self._watch(name, value)

    def _watch(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def watched(*args: Any, **kwargs: Any) -> Any:
            self._countdown.tick()
            is_real = not (kwargs.get("dry_run") or (args and args[-1] is True))
            if name in WRITES and is_real:
                note(self._sent, name)
            result = await call(*args, **kwargs)
            self._countdown.tick()
            return result

        return watched


def note(file: Path, line: str) -> None:
    """Durable before it returns."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.fsync(handle)
    os.close(handle)


def watch(desk: Bench, countdown: Countdown, sent: Path) -> None:
    """Let the executor of this bench run into the countdown."""
    executor: Any = desk.built.executor
    executor._store = Watched(executor._store, countdown, sent)
    executor._targets = {name: Watched(each, countdown, sent) for name, each in executor._targets.items()}
    executor._records._audit = Watched(executor._records._audit, countdown, sent)


async def execute_all(folder: Path, ticks: int) -> None:
    """Execute what is approved, as far as the countdown lets it come."""
    async with bench(folder) as desk:
        watch(desk, Countdown(ticks), folder / "sent")
        for change in await desk.built.store.approved(10):
            await desk.built.executor.execute(change)


def crash_at(folder: Path, ticks: int) -> bool:
    """Execute in a forked process that dies at this tick; False if it came to the end before."""
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(execute_all(folder, ticks))
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, CRASHED), code
    return code == CRASHED


async def main(folder: Path) -> None:
    async with bench(folder) as desk:
        executor: Any = desk.built.executor
        for target in executor._targets.values():
            create = target.create

            async def noted(item: Any, dry_run: bool, create: Any = create) -> Any:
                note(folder / "sent", item["metadata"]["name"])
                return await create(item, dry_run)

            target.create = noted
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await desk.built.changes.runner.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
