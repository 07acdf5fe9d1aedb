"""What services that are programs of their own have in common."""

import ctypes
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def free_port() -> int:
    """A loopback port that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(
    command: list[str],
    log: Path,
    user: str | None = None,
    stop: int = signal.SIGKILL,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program whose output goes into a file; it gets the signal `stop` if this process dies.

    `environment` is all that it has; without one it has ours.
    """

    def die_with_parent() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(DIE_WITH_PARENT, stop)

    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            preexec_fn=die_with_parent,
            env=environment,
            cwd=folder,
        )


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 30.0) -> None:
    """Until a program is ready. Raises RuntimeError with the end of its output if it ends or takes too long."""
    until = time.monotonic() + seconds
    while not ready():
        ended = process.poll()
        if ended is not None or time.monotonic() > until:
            problem = f"ended with {ended}" if ended is not None else f"was not ready within {seconds:.0f} s"
            raise RuntimeError(f"it {problem}: {log.read_text('utf-8', 'replace')[-500:]}")
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether somebody listens on this loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
