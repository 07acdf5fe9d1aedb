"""Commands leave records in the same log as calls."""

from pathlib import Path

import pytest

from common.cli import keys
from common.errors import InvalidInput
from common.security.audit import AuditUnavailable
from common.security.audit_command import audited_command
from common.settings import CommonSettings
from tests.support.audit import Place


def records(folder: Path) -> list[tuple[str, str, str, str]]:
    found = Place(folder).sql("SELECT kind, subject, action, outcome FROM audit_records ORDER BY at, seq")
    return [(str(kind), str(who), str(action), str(outcome)) for kind, who, action, outcome in found]


def test_keys_are_made_and_revoked_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("USER", "ada")
    monkeypatch.setenv("LOGNAME", "ada")
    keys.create("alice", "acme", ["editor"], [], "internal", 1.0)
    with pytest.raises(Exception, match="no key"):
        keys.revoke("nothing")
    create, revoke = "cli:keys create", "cli:keys revoke"
    assert records(tmp_path) == [
        ("intent", "cli:ada", create, ""),
        ("outcome", "cli:ada", create, "ok"),
        ("intent", "cli:ada", revoke, ""),
        ("outcome", "cli:ada", revoke, "not_found"),
    ]
    everything = str(Place(tmp_path).sql("SELECT body FROM audit_records"))
    assert "alice" in everything and "tk_" not in everything


async def test_without_a_log_nothing_is_done(tmp_path: Path) -> None:
    settings = CommonSettings(data_dir=tmp_path)
    async with audited_command(settings, "cli:one", "acme"):
        pass
    Place(tmp_path).sql("ALTER TABLE audit_records RENAME TO gone")
    Place(tmp_path).sql("CREATE VIEW audit_records AS SELECT * FROM gone")
    done = False
    with pytest.raises(AuditUnavailable):
        async with audited_command(settings, "cli:two", "acme"):
            done = True
    assert not done


async def test_the_outcome_names_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        async with audited_command(CommonSettings(data_dir=tmp_path), "cli:one", "acme") as found:
            found["files"] = 3
            raise InvalidInput("no")
    assert [outcome for _, _, _, outcome in records(tmp_path)] == ["", "invalid_input"]
