"""No secret of any setting shows up in logs, errors, reprs, pages, metrics, traces, the audit log or `doctor`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import SecretStr

from common.settings import CommonSettings, Settings
from devops.settings import DevopsSettings
from infra.gateway.settings import GatewaySettings
from knowledge_base.settings import KnowledgeBaseSettings
from support_hub.settings import SupportSettings

ROOT = Path(__file__).parents[3]
CANARY = "canary5e3d9b71c04f"
CLASSES: list[type[Settings]] = [
    CommonSettings,
    KnowledgeBaseSettings,
    DevopsSettings,
    SupportSettings,
    GatewaySettings,
]
URLS = {"redis_url": "redis://app:{}@127.0.0.1:1/0"}
MONGO = "mongodb://app:{}@127.0.0.1:1/app?serverSelectionTimeoutMS=200"
POSTGRES = "postgresql+asyncpg://app:{}@127.0.0.1:1/app"
NOT_SERVED = ("DATABASE_URL", "POSTGRES_URL", "MONGODB_URL", "REPLICA_URLS")
"""Without their databases servers do not start; `doctor` has them."""

PROGRAM = """
import asyncio, sys, traceback
import httpx2
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from fastmcp.utilities.tests import ASGIServer
from common.observability.logging import configure_logging
from common.settings import CommonSettings, load_settings
from infra.cli.verticals import load_vertical

BASE = "http://127.0.0.1:8003"

async def main():
    settings = load_settings(CommonSettings)
    configure_logging(settings.model_copy(update={"log_level": "debug"}))
    vertical = load_vertical("support-hub")
    print(repr(settings), repr(load_settings(vertical.settings)), str(settings), settings.model_dump())
    served = vertical.build(settings, BASE, stdio=False)
    print(repr(served), repr(served.runtime), repr(vars(served.runtime)))
    key = served.runtime.credentials.api_keys.create("alice", "local", ["user", "admin", "auditor", "editor"], [])[1]
    print("without key", key[:3])
    async with run_asgi_lifespan(served.app):
        async with ASGIServer(f"{BASE}/mcp", served.app, "http").client(auth=key) as client:
            for name, arguments in {
                "get_customer_360": {"email": "a@b.example"},
                "search_customers": {"query": "a"},
                "search_tickets": {"query": "a"},
            }.items():
                print(await client.call_tool(name, arguments, raise_on_error=False))
        transport = httpx2.ASGITransport(served.app)
        async with httpx2.AsyncClient(transport=transport, base_url=BASE, follow_redirects=True) as http:
            await http.post("/console/sign-in", data={"credentials": key, "key": key})
            for path in ("/console", "/console/audit", "/console/sources", "/metrics", "/health/ready", "/nothing"):
                answer = await http.get(path)
                print(path, answer.status_code, answer.text)
    for task in asyncio.all_tasks():
        print(task)

try:
    asyncio.run(main())
except BaseException:
    traceback.print_exc()
    sys.exit(1)
print("finished")
"""


def secret_settings() -> dict[str, str]:
    """Every setting that is a secret -> its canary, each in the form that its setting needs."""
    found = {}
    for cls in CLASSES:
        prefix = str(cls.model_config["env_prefix"])
        for name, field in cls.model_fields.items():
            if SecretStr in _types(field.annotation):
                form = URLS.get(name) or (MONGO if "mongo" in name else POSTGRES if name.endswith("_url") else "{}")
                found[f"{prefix}{name.upper()}"] = form.format(f"{CANARY}{name}".replace("_", "").ljust(40, "x"))
    return found


def _types(annotation: Any) -> set[Any]:
    inner = getattr(annotation, "__args__", ())
    return {annotation}.union(*(_types(each) for each in inner)) if inner else {annotation}


class _Refuser(BaseHTTPRequestHandler):
    """CRM and collector at once: refuses whoever asks, and repeats what it was told, as a careless server does."""

    received: list[bytes] = []

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        collector = self.path == "/v1/traces"
        if collector:
            self.received.append(body)
        content = b"" if collector else json.dumps({"error": f"bad {self.headers.get('Authorization')}"}).encode()
        self.send_response(200 if collector else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def refuser() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refuser)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def environment(tmp_path: Path, refuser: str) -> dict[str, str]:
    """Each secret is a file, and each setting refers to it."""
    vault = tmp_path / "vault"
    vault.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRIPTYCH_", "KB_", "DEVOPS_", "SUPPORT_"))}
    given = kept | {
        "TRIPTYCH_DATA_DIR": str(tmp_path / "data"),
        "TRIPTYCH_SECRETS_DIR": str(vault),
        "TRIPTYCH_OTLP_ENDPOINT": refuser,
        "SUPPORT_SALESFORCE_URL": refuser,
        "SUPPORT_SALESFORCE_CLIENT_ID": "app",
        "SUPPORT_HUBSPOT_URL": refuser,
        "SUPPORT_ZENDESK_URL": refuser,
        "SUPPORT_ZENDESK_CLIENT_ID": "app",
        "SUPPORT_ZENDESK_EMAIL": "app@b.example",
        "PYTHONPATH": str(ROOT),
    }
    for name, value in secret_settings().items():
        if name.startswith("TRIPTYCH_VAULT"):
            given[name] = value  # these cannot be references
            continue
        (vault / name.lower()).write_text(value)
        given[name] = f"secret://{name.lower()}"
    return given


def run(environment: dict[str, str], *command: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT / "docs"
    )
    return done.returncode, done.stdout + done.stderr


def shown(text: str) -> list[str]:
    return [text[max(0, at - 80) : at + 40] for at in range(len(text)) if text.startswith(CANARY, at)][:5]


def test_every_secret_has_a_canary() -> None:
    names = set(secret_settings())
    assert {"TRIPTYCH_SIGNING_KEY", "TRIPTYCH_METRICS_TOKEN", "SUPPORT_HUBSPOT_TOKEN", "TRIPTYCH_REDIS_URL"} <= names


@pytest.mark.slow
def test_a_server_shows_no_secret(environment: dict[str, str], tmp_path: Path) -> None:
    served = {name: value for name, value in environment.items() if not name.endswith(NOT_SERVED)}
    code, output = run(served, "-c", PROGRAM)
    assert code == 0 and "\nfinished\n" in output, output[-3000:]
    assert "/console 200" in output and "get_customer_360" in output
    assert shown(output) == []
    assert _Refuser.received and not any(CANARY.encode() in body for body in _Refuser.received)
    for file in (tmp_path / "data").rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_doctor_and_wrong_settings_show_no_secret(environment: dict[str, str]) -> None:
    code, output = run(environment, "-m", "infra.cli", "doctor")
    assert code == 1 and "fail" in output, output
    assert shown(output) == []
    wrong = environment | {"TRIPTYCH_PROFILE": environment["TRIPTYCH_SIGNING_KEY"]}
    code, output = run(wrong, "-m", "infra.cli", "serve", "support-hub")
    assert code == 2 and "TRIPTYCH_PROFILE" in output and shown(output) == []
