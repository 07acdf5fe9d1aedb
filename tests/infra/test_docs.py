"""The documentation says nothing that is not so: links lead somewhere, commands exist, paths are there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
TOPS = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")))
PATH = re.compile(rf"`((?:{TOPS})/[\w./*-]+)`")
COMMAND = re.compile(r"^(?:\.venv/bin/|uv run )?triptych ([a-z][\w-]*(?: [a-z][\w-]*)?)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_paths_are_there(page: Path) -> None:
    made = re.findall(r"^New file `([^`]+)`", page.read_text(), re.MULTILINE)
    for path in {*PATH.findall(page.read_text())} - {*made}:
        assert list(ROOT.glob(path.rstrip("/"))), f"{page.name} names {path}"


def commands() -> set[str]:
    """`triptych` commands that stand in code blocks."""
    blocks = [block for page in PAGES for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL)]
    return {match for block in blocks for match in COMMAND.findall(block)}


def test_commands_exist() -> None:
    assert len(commands()) >= 4
    for command in commands():
        words = shlex.split(command)[:2]
        known = words if words[0] in ("keys", "audit") else words[:1]
        assert CliRunner().invoke(app, [*known, "--help"]).exit_code == 0, command


def test_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"`make ([a-z-]+)", page.read_text()):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name} names make {target}"
