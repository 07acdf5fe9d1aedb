"""A stand-in for HashiCorp Vault, written for these tests: no Vault can be had here.

It has the endpoints that the adapter uses, as developer.hashicorp.com/vault/api-docs describes them, and no others: KV
version 2 (read a version, write with check-and-set), database/creds, login by AppRole and Kubernetes. Tokens end.
"""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Vault:
    """What it holds, and the hands of a test on it."""

    url: str = ""
    versions: dict[str, list[dict[str, Any] | None]] = field(default_factory=dict)
    """Path in KV -> its versions; None is one that was deleted."""
    tokens: set[str] = field(default_factory=lambda: {"root-token"})
    requests: list[tuple[str, str]] = field(default_factory=list)
    role_id: str = "role-1"
    secret_id: str = "secret-1"
    jwt: str = "pod-token"
    lease_seconds: int = 3600
    down: bool = False
    denied: set[str] = field(default_factory=set)
    strange: tuple[int, Any] | None = None
    """Status and answer to everything, as of a standby or a proxy; bytes are no JSON."""

    def put(self, path: str, **values: str) -> None:
        """A new version."""
        self.versions.setdefault(path, []).append(values)

    def end_tokens(self) -> None:
        """As when their time is over."""
        self.tokens.clear()

    def answer(self, method: str, target: str, token: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and JSON."""
        url = urlsplit(target)
        self.requests.append((method, url.path))
        if self.strange:
            return self.strange
        if self.down:
            return 503, {"errors": ["Vault is sealed"]}
        if url.path.startswith("/v1/auth/"):
            return self._login(url.path, body)
        path = url.path.removeprefix("/v1/")
        if token not in self.tokens or path in self.denied:
            return 403, {"errors": ["permission denied"]}
        if path.startswith("database/creds/"):
            return self._credentials(path)
        if path.startswith("secret/data/"):
            name = path.removeprefix("secret/data/")
            return self._read(name, url.query) if method == "GET" else self._write(name, body)
        return 404, {"errors": []}

    def _login(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        good = {
            "/v1/auth/approle/login": {"role_id": self.role_id, "secret_id": self.secret_id},
            "/v1/auth/kubernetes/login": {"role": "triptych", "jwt": self.jwt},
        }.get(path)
        if good is None or {name: body.get(name) for name in good} != good:
            return 400, {"errors": ["invalid role or secret ID"]}
        token = f"s.{secrets.token_hex(12)}"
        self.tokens.add(token)
        return 200, {"auth": {"client_token": token, "lease_duration": 3600, "renewable": True}}

    def _credentials(self, path: str) -> tuple[int, Any]:
        made = {"username": f"v-{secrets.token_hex(4)}", "password": secrets.token_urlsafe(16)}
        lease = f"{path}/{secrets.token_hex(8)}"
        return 200, {"lease_id": lease, "lease_duration": self.lease_seconds, "renewable": True, "data": made}

    def _read(self, name: str, query: str) -> tuple[int, Any]:
        versions = self.versions.get(name, [])
        number = int(parse_qs(query).get("version", ["0"])[0] or 0) or len(versions)
        if not 0 < number <= len(versions):
            return 404, {"errors": []}
        data, metadata = versions[number - 1], {"version": number, "destroyed": False}
        return (404 if data is None else 200), {"data": {"data": data, "metadata": metadata}}

    def _write(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        current = len(self.versions.get(name, []))
        if body.get("options", {}).get("cas", current) != current:
            return 400, {"errors": ["check-and-set parameter did not match the current version"]}
        self.put(name, **body["data"])
        return 200, {"data": {"version": current + 1}}


@contextmanager
def serving() -> Iterator[Vault]:
    """The stand-in, on a free port of this machine."""
    vault = Vault()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            token = self.headers.get("X-Vault-Token", "")
            status, answer = vault.answer(self.command, self.path, token, body)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _handle

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    vault.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield vault
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
