"""What the parser process may not do."""

import subprocess
import sys
from pathlib import Path


def test_the_child_may_neither_connect_nor_write_nor_start_programs(tmp_path: Path) -> None:
    program = """
import socket, subprocess, sys
from knowledge_base.adapters.parser_process import _lock_down
_lock_down()
for attempt in (
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: subprocess.run(["true"]),
    lambda: __import__("os").system("true"),
    lambda: open(sys.argv[1], "w").write("x" * 100_000),
):
    try:
        attempt()
        print("allowed")
    except OSError as error:
        print(type(error).__name__)
"""
    out = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "x")], capture_output=True, text=True, check=True, timeout=60
    )
    assert out.stdout.split() == ["PermissionError", "PermissionError", "PermissionError", "OSError"]
