"""Several processes that serve from one socket. A worker that dies is replaced; on SIGTERM all of them drain."""

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import structlog

STARTUP_FAILURE = 3
"""The code with which uvicorn ends when the application did not start."""
STEADY_SECONDS = 10.0
"""A worker that lived for so long was well, and is replaced at once."""
LONGEST_PAUSE_SECONDS = 5.0
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
log = structlog.get_logger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """A socket that workers accept from. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=2048)
    listening.setblocking(False)
    return listening


class Workers:
    """Forks `count` processes that run `work(slot, lifeline)`: what was imported before is shared by all of them.

    The process that forks must have no threads and no event loop. `lifeline` can be read once the parent is gone.
    """

    def __init__(self, count: int, work: Callable[[int, int], None]) -> None:
        self._count = count
        self._work = work
        self._running: dict[int, tuple[int, float]] = {}
        """Slot and start of each process."""
        self._quick_deaths = dict.fromkeys(range(count), 0)
        self._stopping = False
        self._failed = False
        self._lifeline, self._held = os.pipe()

    def run(self) -> int:
        """Until all have ended; the exit code."""
        for number in PASSED_ON:
            signal.signal(number, self._pass_on)
        for slot in range(self._count):
            self._start(slot)
        while self._running:
            self._ended(*os.waitpid(-1, 0))
        return STARTUP_FAILURE if self._failed else 0

    def _start(self, slot: int) -> None:
        # A signal between the fork and the note of it would miss the new process.
        signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        try:
            pid = os.fork()
            if pid == 0:
                self._be_worker(slot)
            self._running[pid] = slot, time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        log.info("worker.started", slot=slot, worker=pid)

    def _be_worker(self, slot: int) -> NoReturn:
        code = 1
        try:
            os.close(self._held)
            # Of its own, so that Ctrl-C reaches the parent, which passes it on once.
            os.setpgid(0, 0)
            for number in PASSED_ON:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
            self._work(slot, self._lifeline)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            # What the parent wants done at its own end is not the worker's to do.
            os._exit(code)

    def _ended(self, pid: int, status: int) -> None:
        known = self._running.pop(pid, None)
        if known is None:
            return  # forked by a worker that is gone: the first process of a container inherits such
        slot, started = known
        code, lived = os.waitstatus_to_exitcode(status), time.monotonic() - started
        log.log(20 if self._stopping else 40, "worker.ended", slot=slot, worker=pid, code=code, seconds=round(lived, 1))
        if not self._stopping and code == STARTUP_FAILURE and not self._was_well(lived):
            self._failed = True
            self._pass_on(signal.SIGTERM, None)
        if not self._stopping:
            self._quick_deaths[slot] = 0 if lived > STEADY_SECONDS else self._quick_deaths[slot] + 1
            # With no bound, a worker that dies for days would end the parent: the power is more than a float holds.
            self._pause(min(0.1 * 2 ** min(self._quick_deaths[slot], 20), LONGEST_PAUSE_SECONDS))
        if not self._stopping:
            self._start(slot)

    def _was_well(self, lived: float) -> bool:
        return any(time.monotonic() - started > STEADY_SECONDS for _, started in self._running.values()) or (
            lived > STEADY_SECONDS
        )

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(0.05)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self._stopping = self._stopping or number != signal.SIGHUP
        for pid in list(self._running):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # it has ended, and will be waited for
