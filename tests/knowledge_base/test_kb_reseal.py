"""The command that seals objects with a new key: afterwards the old one can be thrown away."""

import asyncio
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from common.errors import SettingsError, Unavailable
from common.settings import CommonSettings
from knowledge_base.adapters.objects import Objects
from knowledge_base.bootstrap import build_objects
from knowledge_base.reseal_command import reseal
from knowledge_base.settings import KnowledgeBaseSettings

OLD, NEW = "old-" * 10, "new-" * 10


def objects(folder: Path, key: str) -> Objects:
    given = CommonSettings.model_validate({"data_dir": folder, "encryption_key": key})
    return build_objects(given, KnowledgeBaseSettings())


def test_objects_are_sealed_again_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [asyncio.run(objects(tmp_path, OLD).put(text, "acme", "doc")) for text in (b"one", b"two")]
    with pytest.raises(Unavailable):
        asyncio.run(objects(tmp_path, NEW).get(keys[0]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TRIPTYCH_ENCRYPTION_KEY", NEW)
    monkeypatch.setenv("TRIPTYCH_ENCRYPTION_OLD_KEYS", OLD)
    command = typer.Typer()
    command.command()(reseal)
    assert "2 of 2 objects" in CliRunner().invoke(command).stderr
    assert "0 of 2 objects" in CliRunner().invoke(command).stderr
    assert [asyncio.run(objects(tmp_path, NEW).get(key)) for key in keys] == [b"one", b"two"]
    monkeypatch.delenv("TRIPTYCH_ENCRYPTION_KEY")
    with pytest.raises(SettingsError, match="TRIPTYCH_ENCRYPTION_KEY"):
        reseal()
