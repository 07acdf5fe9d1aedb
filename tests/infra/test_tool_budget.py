"""What a model reads about the tools of a vertical stays short: it pays for it in every conversation."""

import json
from pathlib import Path

import pytest

from common.settings import CommonSettings
from infra.cli.verticals import load_vertical, vertical_names

TOKENS = 6000
CHARACTERS_PER_TOKEN = 3
"""A careful guess: Claude's tokenizer is not public, and English and JSON have about four characters a token with those
that are."""


@pytest.mark.parametrize("name", vertical_names())
async def test_tool_descriptions_stay_within_their_budget(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    monkeypatch.setenv("DEVOPS_APPROVE_BY_TOOL", "on")
    monkeypatch.setenv("DEVOPS_AWS", "on")
    monkeypatch.setenv("DEVOPS_AWS_ACCOUNTS", '{"shop-prod": {"region": "eu-west-1"}}')
    served = load_vertical(name).build(CommonSettings(data_dir=tmp_path), "http://127.0.0.1:8001", stdio=False)
    tools = await served.server.list_tools(run_middleware=False)
    told = [{"name": tool.name, "description": tool.description, "input_schema": tool.parameters} for tool in tools]
    size = len(json.dumps(told, ensure_ascii=False, separators=(",", ":"))) / CHARACTERS_PER_TOKEN
    largest = sorted(told, key=lambda tool: -len(json.dumps(tool)))[:3]
    assert size < TOKENS, [(tool["name"], len(json.dumps(tool)) // CHARACTERS_PER_TOKEN) for tool in largest]
