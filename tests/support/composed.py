"""Our services of compose.yaml as processes: their commands, settings, secrets and health checks, as the file has them.

Mapped is only what must be: hosts and ports, /run/secrets, /data and the folder of the image. Each runs in an empty
folder, in an environment of its image (images.py), and with no variable but the image's and the file's.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.compose.prepare import prepare
from tests.services.processes import free_port, run
from tests.support.compose_file import JOBS, OURS, SECRETS, SERVERS, mapped, port_of
from tests.support.composed_backends import (
    Backend,
    answers,
    elasticsearch_backend,
    issuer_backend,
    mongodb_backend,
    postgres_backend,
    s3_backend,
    valkey_backend,
)
from tests.support.images import HOME, add_own, build_environment, build_wheel, list_parts, read_image

PATIENCE_SECONDS = 420.0
"""Far more than it takes, also where a machine is slow."""


@dataclass
class Container:
    """A service as a process."""

    name: str
    process: "subprocess.Popen[bytes]"
    environment: dict[str, str]
    folder: Path
    log: Path

    def execute(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """As `docker compose exec` would."""
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )

    def said(self) -> str:
        """The end of its log."""
        return f"{self.name}: {self.log.read_text(errors='replace')[-3000:]}"


@dataclass
class Composed:
    """What runs."""

    folder: Path
    secrets: Path
    images: dict[str, Path]
    backends: dict[str, Backend]
    places: dict[str, str]
    started: float
    """Since then nothing of an image may change (seconds since 1970)."""
    containers: dict[str, Container] = field(default_factory=dict)

    def url(self, name: str) -> str:
        """Where a server is, from outside."""
        return f"http://{self.places[f'localhost:{port_of(name)}']}"

    def start(self, name: str) -> None:
        """As `docker compose up` would, once everything that it depends on is healthy."""
        service, folder = OURS[name], self.folder / name
        image = read_image(service["build"]["args"])
        places = {**self.places, HOME: str(self.images[service["image"]])}
        for inside, here in ((image.folder, "data"), (SECRETS, "secrets")):
            (folder / here).mkdir(mode=0o700, parents=True)
            places[inside] = str(folder / here)
        for secret in service["secrets"]:
            (folder / "secrets" / secret).write_text(mapped((self.secrets / secret).read_text(), self.places))
        given = {"HOME": image.folder, **image.environment, **service["environment"]}
        environment = {key: mapped(value, places) for key, value in given.items()}
        command = [shutil.which(image.entrypoint[0], path=environment["PATH"]) or "", *service["command"]]
        if name in SERVERS:
            # Given again, the last one counts.
            command += ["--host", "127.0.0.1", "--port", self.places[f"localhost:{port_of(name)}"].partition(":")[2]]
        log = folder / "log"
        process = run(command, log, environment=environment, folder=folder / "data")
        self.containers[name] = Container(name, process, environment, folder / "data", log)

    def wait(self) -> None:
        """Until jobs have ended well and servers are healthy. Raises RuntimeError with what one said."""
        until = time.monotonic() + PATIENCE_SECONDS
        for name, container in self.containers.items():
            while not self._as_it_should_be(container):
                code = container.process.poll()
                if time.monotonic() > until or (code is not None and (name not in JOBS or code)):
                    raise RuntimeError(f"exit code {code}; {container.said()}")
                time.sleep(0.1)

    def _as_it_should_be(self, container: Container) -> bool:
        if container.name in JOBS:
            return container.process.poll() == 0
        if container.name in SERVERS:
            return answers(f"{self.url(container.name)}/health/ready") == 200
        return "ready" in container.log.read_text(errors="replace")

    def stop(self) -> dict[str, int]:
        """SIGTERM to all at once; their exit codes."""
        running = {name: each.process for name, each in self.containers.items()}
        for process in running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        return {name: process.wait(60) for name, process in running.items()}

    def kill(self) -> None:
        """Whatever still runs."""
        for container in self.containers.values():
            if container.process.poll() is None:
                container.process.kill()
                container.process.wait()


@contextmanager
def composed(folder: Path, elasticsearch_url: str, keys: dict[str, object]) -> Iterator[Composed]:
    """All of our services, started in the order of the file; the issuer publishes `keys`."""
    secrets = folder / "prepared"
    prepare(secrets)
    with ExitStack() as stack, ThreadPoolExecutor(1) as threads:
        building = threads.submit(_build, folder)
        backends = {
            "postgres": stack.enter_context(postgres_backend(secrets, folder)),
            "mongodb": stack.enter_context(mongodb_backend(secrets, folder)),
            "valkey": stack.enter_context(valkey_backend(secrets, folder)),
            "s3": stack.enter_context(s3_backend(secrets, folder)),
            "elasticsearch": stack.enter_context(elasticsearch_backend(secrets, folder, elasticsearch_url)),
            "keycloak": stack.enter_context(issuer_backend(keys)),
        }
        stack.callback(_forget, elasticsearch_url)
        here = Composed(folder, secrets, building.result(), backends, _places(backends), time.time())
        stack.callback(here.kill)
        for name in OURS:
            for needed, how in OURS[name]["depends_on"].items():
                assert how == {"condition": "service_healthy"} and backends[needed].healthy(), needed
            here.start(name)
        here.wait()
        yield here


def _build(folder: Path) -> dict[str, Path]:
    """All images. They have the same wheel, so that it is built once."""
    servers = {service["image"]: service["build"]["args"]["SERVER"] for service in OURS.values()}
    images = {name: folder / name for name in servers}
    for name, image in images.items():
        build_environment(image, servers[name])
    first = next(iter(images))
    own = build_wheel(images[first], servers[first])
    for image in images.values():
        add_own(image, own)
    list_parts(images[first], servers[first])
    return images


def _places(backends: dict[str, Backend]) -> dict[str, str]:
    """host:port of the file -> here."""
    places = {place: here for backend in backends.values() for place, here in backend.places.items()}
    for name in SERVERS:
        port = free_port()
        places |= {f"{host}:{port_of(name)}": f"localhost:{port}" for host in (name, "localhost", "127.0.0.1")}
    return places


def _forget(elasticsearch_url: str) -> None:
    """The node is of the whole run."""
    names = f"{elasticsearch_url}/_cat/indices/triptych-kb*?format=json&h=index"
    for found in _json(names):
        request = urllib.request.Request(f"{elasticsearch_url}/{found['index']}", method="DELETE")  # noqa: S310
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 - a server of ours


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - a server of ours
        return json.load(answer)


def written(folder: Path) -> set[str]:
    """Every file below, without those of folders that are links."""
    return {str(Path(place, name)) for place, _, names in os.walk(folder) for name in names}
