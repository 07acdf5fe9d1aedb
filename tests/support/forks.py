"""Forks of each vertical, for tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

from infra.fork.prose import WORDS

ROOT = Path(__file__).parents[2]
FORKS = {"knowledge_base": "acme_docs", "devops": "acme_ops", "support_hub": "acme_care"}
"""Vertical -> name of its fork."""
NAMES = {
    "knowledge_base": r"(?i:knowledge[ _-]base)|\bKB_[A-Z]|\bkb_[a-z]|\bkb://",
    "devops": r"(?i:\bdevops)",
    "support_hub": r"(?i:support[ _-]hub)|\bSUPPORT_[A-Z]|(?i:salesforce|hubspot|zendesk)|\bcrm\b",
    "gateway": r"infra[./]gateway|GATEWAY_|gateway\.md",
}
"""How a file would speak of a server."""
COMPANY = "infra/seed/company"
"""Documents of an invented company may speak of anything."""


def others(vertical: str) -> re.Pattern[str]:
    """Finds the names of all servers but this one, and the suite's own."""
    assert set(NAMES) == set(WORDS)
    return re.compile("|".join([*(NAMES[each] for each in NAMES if each != vertical), "(?i:triptych)"]))


def environment(**more: str) -> dict[str, str]:
    """Of a person who has none of our settings and no virtual environment."""
    ours = ("TRIPTYCH_", "KB_", "DEVOPS_", "SUPPORT_", "GATEWAY_", "TEST_", "VIRTUAL_ENV", "PYTHON", "PYTEST_", "MAKE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "COLUMNS": "120", **more}


def triptych(*arguments: object, cwd: Path = ROOT, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command of the suite in this folder."""
    command = [sys.executable, "-m", "infra.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def run(folder: Path, *command: object, seconds: float = 600, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder, which has to end well."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done
