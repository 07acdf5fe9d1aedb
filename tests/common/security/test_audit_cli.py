"""`triptych audit`, as a person calls it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from common.cli.audit import app
from common.security.audit import AuditRecord
from tests.support.audit import Place, intent, outcome

DOCS = Path(__file__).parents[3] / "docs" / "audit.md"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TRIPTYCH_SIGNING_KEY", "k" * 32)
    monkeypatch.setenv("TRIPTYCH_AUDIT_CHECKPOINT_FILE", str(tmp_path / "checkpoints.jsonl"))
    return Place(tmp_path)


@pytest.fixture
async def place(empty: Place) -> Place:
    async with empty.log() as log:
        for number in range(3):
            await log.write(intent(f"r-{number}", number=number))
            await log.write(outcome(f"r-{number}"))
        await log.write(AuditRecord("event", "sign_in", "s-1", "bob\x1b[2J", outcome="denied"))
    return empty


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_an_intact_log(place: Place) -> None:
    result = run("verify")
    assert result.exit_code == 0
    assert "The log is intact." in result.stdout
    assert re.search(r"│ 7 +│ 1 +│ \d+ +│ 0 +│ 0 +│", result.stdout)
    assert result.stderr.strip() == ""


def test_damage_is_named(place: Place) -> None:
    place.sql("UPDATE audit_records SET subject = 'mallory' WHERE seq = 4")
    (writer,) = place.sql("SELECT DISTINCT writer FROM audit_records")[0]
    result = run("verify", "--db", place.database, "--checkpoints", place.checkpoints)
    assert result.exit_code == 1
    assert f"record 4 of {writer}: changed" in result.stdout
    assert "The log is damaged." in result.stdout


def test_a_log_without_checkpoints_says_so(place: Place) -> None:
    place.sql("DELETE FROM audit_checkpoints")
    result = run("verify", "--checkpoints", place.folder / "none.jsonl")
    assert result.exit_code == 0
    assert "No checkpoint was found" in result.stdout


def test_no_log(empty: Place) -> None:
    result = run("verify")
    assert result.exit_code == 2
    assert f"There is no audit log at {empty.database}" in result.stderr
    assert not empty.database.exists()
    empty.sql("CREATE TABLE other (a)")
    result = run("verify")
    assert result.exit_code == 2
    assert "nothing was ever recorded" in result.stderr


def test_what_is_no_database(empty: Place) -> None:
    empty.database.write_text("this is a letter, and not a database at all")
    for command in ("verify", "tail", "export"):
        result = run(command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "cannot be read" in result.stderr
    assert run("verify", "--db", "nonsense://x").exit_code == 2


def test_wrong_settings(empty: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_SIGNING_KEY", "short")
    result = run("verify")
    assert result.exit_code == 2
    assert "TRIPTYCH_SIGNING_KEY" in result.stderr


def test_tail(place: Place) -> None:
    lines = run("tail", "-n", 3).stdout.splitlines()
    assert len(lines) == 3
    assert 'intent  alice  scale_workload  r-2 {"number": 2}' in lines[0]
    assert "bob?[2J  sign_in  denied" in lines[2]


def test_tail_as_json_with_filters(place: Place) -> None:
    found = [
        json.loads(line)
        for line in run("tail", "--json", "--subject", "alice", "--action", "scale_workload").stdout.splitlines()
    ]
    assert [record["seq"] for record in found] == [1, 2, 3, 4, 5, 6]
    assert found[0]["detail"] == {"number": 0}
    assert len(run("tail", "--json", "--request-id", "r-1").stdout.splitlines()) == 2


def test_an_export_can_be_checked_with_what_the_documentation_shows(place: Place) -> None:
    exported = place.folder / "export.jsonl"
    result = run("export", "--output", exported)
    assert (result.exit_code, result.stderr.strip()) == (0, f"7 records in {exported}")
    assert exported.stat().st_mode & 0o777 == 0o600
    assert exported.read_text() == run("export").stdout
    check = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    assert check
    command = [sys.executable, "-c", check[1], str(exported)]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
    exported.write_text(exported.read_text().replace("alice", "mallory", 1))
    assert "damaged: record 1 of" in subprocess.run(command, capture_output=True, text=True).stderr
