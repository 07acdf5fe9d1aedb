"""Processes that are restarted one after the other while somebody uses them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.load import Load, drive

DRAIN_SECONDS = 1.0
START_SECONDS = 60.0
ENVIRONMENT = {
    "TRIPTYCH_DRAIN_DELAY_SECONDS": str(DRAIN_SECONDS),
    "TRIPTYCH_RATE_LIMIT_PER_SECOND": "1e9",
    "TRIPTYCH_RATE_LIMIT_BURST": "1000000000",
}
CADDYFILE = """{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    reverse_proxy {upstreams} {{
        health_uri /health/ready
        health_interval 200ms
        lb_try_duration 5s
        flush_interval -1
        header_up Host {{upstream_hostport}}
    }}
}}
"""


@dataclass
class Process:
    """A server process that can be started again as it was."""

    command: list[str]
    environment: dict[str, str]
    port: int
    log: Path
    running: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            environment = {**os.environ, **ENVIRONMENT, **self.environment}
            self.running = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        wait_for(lambda: is_ready(self.port))

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(how)
            self.running.wait(30)

    def restart(self) -> None:
        self.stop()
        self.start()


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > START_SECONDS:
            raise RuntimeError("a process of the test did not get ready")
        time.sleep(0.05)


def domain(folder: Path, port: int) -> Process:
    """A domain server with the tools of the stack benchmark; replicas share the folder."""
    module = ["tests.benchmarks.stack_server", "audited", "--port", str(port), "--folder", str(folder)]
    return Process([sys.executable, "-m", *module], {}, port, folder / f"domain-{port}.log")


def gateway(folder: Path, port: int, domains: Sequence[int]) -> Process:
    """`triptych serve gateway`, in front of replicas at these ports."""
    urls = [f"http://127.0.0.1:{each}/mcp" for each in domains]
    environment = {"GATEWAY_DOMAINS": json.dumps({"kb": urls}), "GATEWAY_HEALTH_SECONDS": "0.2"}
    module = ["infra.cli", "serve", "gateway", "--port", str(port), "--data-dir", str(folder)]
    return Process([sys.executable, "-m", *module], environment, port, folder / f"gateway-{port}.log")


@contextlib.contextmanager
def balanced(folder: Path, port: int, upstreams: Sequence[int]) -> Iterator[None]:
    """Caddy on this port, in front of the others; it asks each whether it is ready."""
    file = folder / "Caddyfile"
    file.write_text(CADDYFILE.format(port=port, upstreams=" ".join(f"127.0.0.1:{each}" for each in upstreams)))
    command = [str(Path(sys.executable).with_name("caddy")), "run", "--config", str(file), "--adapter", "caddyfile"]
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: is_ready(port))
        yield
    finally:
        process.terminate()
        process.wait(20)


def used_while(port: int, requests: Sequence[bytes], act: Callable[[], None]) -> Load:
    """What the callers of these requests saw while `act` ran. Raises RuntimeError if any call failed."""
    acted = threading.Event()
    failures: list[BaseException] = []

    def acting() -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)
        finally:
            acted.set()

    total = Load()
    thread = threading.Thread(target=acting)
    thread.start()
    try:
        while not acted.is_set():
            load = drive(port, requests, 1.0, pause=0.02)
            total.calls += load.calls
            total.seconds += load.seconds
            total.latencies += load.latencies
    finally:
        thread.join(120)
    if failures:
        raise failures[0]
    return total
