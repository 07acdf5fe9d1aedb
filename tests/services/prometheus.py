"""A real Prometheus on a free loopback port, with alerting rules of ours."""

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.services.promtool import program_or_skip

START_SECONDS = 60.0


@contextlib.contextmanager
def running_prometheus(folder: Path, rules: Sequence[dict[str, object]]) -> Iterator[str]:
    """Its URL. Rules are those of a group, evaluated each second; without targets nothing is scraped."""
    group = {"name": "test", "interval": "1s", "rules": list(rules)}
    (folder / "rules.json").write_text(json.dumps({"groups": [group]}))
    config = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(folder / "rules.json")]}
    # JSON is YAML.
    (folder / "prometheus.json").write_text(json.dumps(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [
        str(program_or_skip("prometheus")),
        f"--config.file={folder / 'prometheus.json'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        _wait(url, process, folder / "prometheus.log")
        yield url
    finally:
        process.terminate()
        process.wait(15)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it is ready and its rules were evaluated. Raises RuntimeError with the end of its log."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{url}/api/v1/alerts", timeout=5) as answer,  # noqa: S310 - our own loopback URL
        ):
            if json.load(answer)["data"]["alerts"]:
                return
        time.sleep(0.1)
    raise RuntimeError(f"Prometheus did not start:\n{log.read_text(errors='replace')[-1500:]}")
