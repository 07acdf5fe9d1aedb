"""Starts the suite's servers as processes of their own, and stops them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class RunningServer:
    """A server process that answers."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path
    held: socket.socket
    """Keeps its port for it until it listens."""


def free_port(wanted: int) -> int:
    """The wanted port if nothing uses it, else another one."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no free port on this machine")


def held_port(wanted: int) -> tuple[int, socket.socket]:
    """The wanted port, or another one, that nobody else who asks here gets before the socket is closed.

    A server takes seconds until it listens; until then UDP's port of the same number says that TCP's is taken.
    """
    for candidate in (wanted, 0, 0, 0):
        port = free_port(candidate)
        held = socket.socket(type=socket.SOCK_DGRAM)
        try:
            held.bind(("127.0.0.1", port))
            return port, held
        except OSError:
            held.close()
    raise OSError("no free port on this machine")


def is_ready(url: str) -> bool:
    """Whether the server says that it is ready."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=2) as answer:  # noqa: S310 - our own loopback URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def start_server(name: str, port: int, data_dir: Path) -> RunningServer:
    """Start `triptych serve NAME`; its log goes into the data folder."""
    log = data_dir / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    port, held = held_port(port)
    command = [sys.executable, "-m", "infra.cli", "serve", name, "--port", str(port), "--data-dir", str(data_dir)]
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ, start_new_session=True
            )
    except BaseException:
        held.close()
        raise
    return RunningServer(name, f"http://127.0.0.1:{port}", process, log, held)


def wait_ready(server: RunningServer) -> float:
    """Seconds until the server was ready. Raises RuntimeError with the end of its log."""
    started = time.monotonic()
    with server.held:
        # Whoever else may answer there: it is not this server once that has ended.
        while time.monotonic() - started < START_SECONDS and server.process.poll() is None:
            if is_ready(server.url):
                return time.monotonic() - started
            time.sleep(0.05)
    tail = "\n".join(server.log.read_text(errors="replace").splitlines()[-15:])
    raise RuntimeError(f"{server.name} did not start. The end of {server.log}:\n{tail}")


def stop_server(server: RunningServer) -> None:
    """SIGTERM, and SIGKILL if it does not end."""
    server.held.close()
    if server.process.poll() is not None:
        return
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()


@contextlib.contextmanager
def running(names_and_ports: list[tuple[str, int]], data_dir: Path) -> Iterator[list[RunningServer]]:
    """All servers started side by side; all are stopped at the end, whatever happens."""
    servers: list[RunningServer] = []
    try:
        for name, port in names_and_ports:
            servers.append(start_server(name, port, data_dir))
        yield servers
    finally:
        for server in servers:
            stop_server(server)
