"""docs/tutorial.md, followed word by word in a fork."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.fork.command import make_fork
from tests.support.forks import ROOT, environment, run

STEP = re.compile(
    r"(?P<how>New file|In|At the end of) `(?P<path>[^`]+)`(?:, after the line `(?P<after>[^`]+)`)?(?:, add)?:\n\n"
    r"```\w*\n(?P<text>.*?)```",
    re.DOTALL,
)
TEST = "tests/acme_docs/test_reading_time.py"
LINES = 40


def steps() -> list[re.Match[str]]:
    return list(STEP.finditer((ROOT / "docs" / "tutorial.md").read_text()))


def follow(folder: Path, step: re.Match[str]) -> None:
    path = folder / step["path"]
    if step["how"] == "New file":
        assert not path.exists()
        path.write_text(step["text"])
    elif step["after"]:
        before = path.read_text()
        assert before.count(f"{step['after']}\n") == 1, step["after"]
        path.write_text(before.replace(f"{step['after']}\n", f"{step['after']}\n{step['text']}"))
    else:
        path.write_text(path.read_text().rstrip() + "\n\n" + step["text"])


def test_it_is_short_and_has_every_step() -> None:
    assert [step["how"] for step in steps()] == ["New file", "In", "In", "At the end of", "New file"]
    written = [line for step in steps() for line in step["text"].splitlines() if line and "import" not in line]
    assert len(written) <= LINES


@pytest.mark.slow
def test_following_it_gives_a_tool_that_works(tmp_path: Path) -> None:
    folder = tmp_path / "acme-docs"
    make_fork(ROOT, "knowledge_base", folder, "acme_docs", dry_run=False)
    [policy] = [step for step in steps() if step["path"].endswith(".cedar")]
    for step in steps():
        if step["path"] != policy["path"]:
            follow(folder, step)
    run(folder, "make", f"PYTHON={sys.executable}", "setup-dev")
    test = [".venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider", TEST]
    denied = subprocess.run(test, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600)
    assert denied.returncode == 1 and "Unknown tool" in denied.stdout
    follow(folder, policy)
    assert "1 passed" in run(folder, *test).stdout
    run(folder, ".venv/bin/ruff", "check", ".")
    run(folder, ".venv/bin/ruff", "format", "--check", ".")
