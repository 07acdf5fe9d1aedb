"""`triptych keys rotate-signing`, as an operator calls it while servers run."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from common.cli.audit import app as audit
from common.cli.keys import app
from common.security.key_rotation import rotated
from common.security.ring_storage import ring_storage
from common.security.secret_cache import open_cache
from common.security.signing import load_signing_key
from common.settings import CommonSettings, load_settings
from tests.services.vault import serving


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def states() -> dict[str, str]:
    return {key["id"]: key["state"] for key in json.loads(run("signing", "--json").stdout)}


def test_the_embedded_profile(folder: Path) -> None:
    ring = load_signing_key(load_settings(CommonSettings))
    old = ring.current().id
    assert run("rotate-signing").exit_code == 0
    new = ring.current().id
    assert states() == {new: "signs", old: "verifies"} and new != old
    refused = run("rotate-signing", "--drop", old)
    assert refused.exit_code != 0 and "more hours" in str(refused.exception)
    assert run("rotate-signing", "--drop", old, "--force").exit_code == 0
    assert states() == {new: "signs", old: "dropped"} and len(ring.accepted()) == 1
    assert (folder / "data" / "signing.key").stat().st_mode & 0o077 == 0
    checked = CliRunner().invoke(audit, ["verify"])
    assert checked.exit_code == 0, checked.output


def test_a_plain_setting_is_handed_over_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_SIGNING_KEY", "k" * 40)
    refused = run("rotate-signing")
    assert "plain setting" in str(refused.exception) and "kkk" not in refused.output + str(refused.exception)
    printed = run("rotate-signing", "--print").stdout.strip()
    before = load_signing_key(load_settings(CommonSettings)).current().id
    monkeypatch.setenv("TRIPTYCH_SIGNING_KEY", printed)
    assert sorted(states().values()) == ["signs", "verifies"] and states()[before] == "verifies"


def test_in_vault_every_replica_knows_the_key_before_it_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as vault:
        vault.put("triptych", signing="v" * 40, other="stays")
        for name, value in {
            "SECRETS": "vault",
            "VAULT_ADDR": vault.url,
            "VAULT_TOKEN": "root-token",
            "SIGNING_KEY": "secret://triptych#signing",
        }.items():
            monkeypatch.setenv(f"TRIPTYCH_{name}", value)
        settings = load_settings(CommonSettings)
        ring, old = load_signing_key(settings), load_signing_key(settings).current().id
        done = run("rotate-signing")
        assert done.exit_code == 0 and "in 120 s" in done.output
        assert vault.versions["triptych"][-1]["other"] == "stays"  # type: ignore[index]
        cache = open_cache(settings)
        cache.ttl_seconds = 0.0
        cache.refresh()
        assert ring.current().id == old and len(ring.accepted()) == 2
        again = run("rotate-signing")
        assert "does not sign yet" in str(again.exception)


async def test_rotations_at_once_lose_no_key() -> None:
    ring = load_signing_key(load_settings(CommonSettings))
    storage = ring_storage(load_settings(CommonSettings))
    rotations = [asyncio.to_thread(storage.change, lambda text: rotated(text)[0]) for _ in range(8)]
    await asyncio.gather(*rotations)
    assert len(ring.accepted()) == 9
