"""A real clamd (Debian: clamav-daemon) with a signature database of our own, so that it needs no download."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SIGNATURE = b"triptych-test-worm-7d1f0c"
CONFIG = """
Foreground yes
DatabaseDirectory {folder}
TCPAddr 127.0.0.1
TCPSocket {port}
StreamMaxLength 1M
"""


def binary() -> str | None:
    """Where clamd is; TEST_CLAMD names one that is not in the path."""
    return os.environ.get("TEST_CLAMD") or shutil.which("clamd") or shutil.which("clamd", path="/usr/sbin")


def start(clamd: str) -> Iterator[str]:
    """Yields its address."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        (Path(folder) / "own.ndb").write_text(f"Triptych.Test.Worm:0:*:{SIGNATURE.hex()}\n")
        config = Path(folder) / "clamd.conf"
        config.write_text(CONFIG.format(folder=folder, port=port))
        process = subprocess.Popen([clamd, "--config-file", str(config)], stdout=subprocess.DEVNULL)
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if process.poll() is not None:
                    raise RuntimeError(f"clamd ended with {process.returncode}")
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()
