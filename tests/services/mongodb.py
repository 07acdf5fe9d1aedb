"""MongoDB's wire protocol, with transactions and change streams: SecantusDB from the wheel `secantusdb`."""

import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from tests.services.processes import accepts, free_port, run, wait_until

REMEDY = "pip install secantusdb, or TEST_MONGODB_URL=mongodb://..."


def start(*options: str) -> Generator[str]:
    """Yields the URL, without a database."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="mongodb-") as folder:
        log = Path(folder) / "log"
        storage = str(Path(folder) / "data")
        own = ["--host", "127.0.0.1", "--port", str(port), "--storage-path", storage, "--cache-size", "128M"]
        process = run([sys.executable, "-m", "secantus", *own, "--log-level", "WARNING", *options], log)
        try:
            wait_until(lambda: accepts(port), process, log)
            yield f"mongodb://127.0.0.1:{port}"
        finally:
            # At once: nothing of it is kept.
            process.kill()
            process.wait()
