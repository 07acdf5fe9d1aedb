"""Each fork sets itself up, tells its demo to the end, passes its linters and tests, in an environment of its own."""

import sys
from pathlib import Path

import pytest

from tests.support.forks import FORKS, run, triptych

SMOKE = {
    "knowledge_base": "tests/acme_docs/test_kb_server.py",
    "devops": "tests/acme_ops/test_devops_server.py",
    "support_hub": "tests/acme_care/test_support_hub_server.py",
}
SHARED = "tests/common/test_server.py tests/common/security/test_identity.py tests/infra/test_docs.py"


@pytest.mark.slow
@pytest.mark.parametrize("vertical", FORKS)
def test_a_fork_in_an_empty_folder(vertical: str, tmp_path: Path) -> None:
    folder = tmp_path / FORKS[vertical]
    triptych("fork", vertical, folder)
    make = ("make", f"PYTHON={sys.executable}")
    told = run(folder, *make, "demo", ONCE="1").stdout
    assert "checks passed" in told and "✗" not in told
    run(folder, *make, "lint")
    run(folder, *make, "test", f"ARGS=-p no:cacheprovider -n 1 {SMOKE[vertical]} {SHARED}")
    shown = run(folder, ".venv/bin/python", "-m", "infra.env_example").stdout
    assert (folder / ".env.example").read_text() == shown
