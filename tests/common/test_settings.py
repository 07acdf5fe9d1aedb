"""A wrong or unknown setting stops the start, and is named without its value."""

from pathlib import Path

import pytest

from common.errors import SettingsError
from common.settings import CommonSettings, load_settings


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_unknown_setting_is_named_with_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_SIGNIN_KEY", "x")
    with pytest.raises(SettingsError, match=r"TRIPTYCH_SIGNIN_KEY .*did you mean TRIPTYCH_SIGNING_KEY"):
        load_settings(CommonSettings)


def test_an_unknown_setting_in_the_file_is_named_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRIPTYCH_RATE_LIMT_BURST=3\n")
    with pytest.raises(SettingsError, match=r"TRIPTYCH_RATE_LIMT_BURST \(from .env\)"):
        load_settings(CommonSettings)


def test_every_wrong_setting_is_named_and_no_value_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_PROFILE", "prod-secret")
    monkeypatch.setenv("TRIPTYCH_SIGNING_KEY", "short-secret")
    monkeypatch.setenv("TRIPTYCH_TOOL_TIMEOUT_SECONDS", "61")
    with pytest.raises(SettingsError) as caught:
        load_settings(CommonSettings)
    text = str(caught.value)
    assert all(name in text for name in ("TRIPTYCH_PROFILE", "TRIPTYCH_SIGNING_KEY", "TRIPTYCH_TOOL_TIMEOUT_SECONDS"))
    assert "prod-secret" not in text and "short-secret" not in text


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_ALLOWED_HOSTS", "a.example, b.example")
    assert load_settings(CommonSettings).allowed_hosts == ["a.example", "b.example"]


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_SIGNING_KEY", "c" * 40)
    assert "ccc" not in repr(load_settings(CommonSettings))
