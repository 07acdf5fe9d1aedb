"""Azure Blob Storage: Azurite from npm, installed once from its lock file into the user's cache folder."""

import base64
import email.utils
import hmac
import http.client
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.services.npm import installed
from tests.services.processes import accepts, free_port, run, wait_until

REMEDY = "install Node.js 20 with npm, or TEST_AZURE_URL=http://ACCOUNT:KEY@HOST:PORT/CONTAINER"
SOURCES = Path(__file__).parent / "azurite"
CONTAINER = "tests"


def program() -> Path:
    """Azurite's program for blobs, installed if need be. Raises RuntimeError when there is no npm."""
    return installed(SOURCES) / "node_modules" / ".bin" / "azurite-blob"


def start() -> Iterator[str]:
    """Yields http://ACCOUNT:KEY@HOST:PORT/CONTAINER; the container is there."""
    account, key, port = "tests", secrets.token_hex(32), free_port()
    with tempfile.TemporaryDirectory(prefix="azure-") as folder:
        log = Path(folder) / "log"
        options = ["--blobPort", str(port), "--silent", "--disableTelemetry"]
        # The account comes in the environment; its key is good Base64 as it is.
        command = ["env", f"AZURITE_ACCOUNTS={account}:{key}", str(program()), *options]
        process = run([*command, "--inMemoryPersistence", "--skipApiVersionCheck"], log)
        try:
            wait_until(lambda: accepts(port), process, log)
            _make_container(account, key, port)
            yield f"http://{account}:{key}@127.0.0.1:{port}/{CONTAINER}"
        finally:
            process.terminate()
            process.wait(20)


def _make_container(account: str, key: str, port: int) -> None:
    """By hand: the client that the project uses makes none."""
    path = f"/{account}/{CONTAINER}"
    dated = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2023-11-03"}
    names = "".join(f"{name}:{value}\n" for name, value in sorted(dated.items()))
    text = "PUT" + "\n" * 12 + names + f"/{account}{path}\nrestype:container"
    digest = hmac.digest(base64.b64decode(key), text.encode(), "sha256")
    signature = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("PUT", f"{path}?restype=container", headers={**dated, "Authorization": signature})
        answer = connection.getresponse()
        if answer.status != 201:
            raise RuntimeError(f"no container: {answer.status} {answer.read()[:300]!r}")
    finally:
        connection.close()
