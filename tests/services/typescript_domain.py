"""A domain server written with the TypeScript SDK, on a free loopback port."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.services.npm import installed
from tests.services.processes import accepts, free_port, run, wait_until

REMEDY = "install Node.js 20 with npm, or TEST_TYPESCRIPT_DOMAIN_URL=http://HOST:PORT"
SOURCES = Path(__file__).parent / "typescript"


def start() -> Iterator[str]:
    """Yields its address, without /mcp."""
    folder, port = installed(SOURCES), free_port()
    # Beside the modules that it imports.
    shutil.copy(SOURCES / "server.mjs", folder / "server.mjs")
    with tempfile.TemporaryDirectory(prefix="typescript-") as logs:
        log = Path(logs) / "log"
        process = run(["node", str(folder / "server.mjs"), str(port)], log)
        try:
            wait_until(lambda: accepts(port), process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)
