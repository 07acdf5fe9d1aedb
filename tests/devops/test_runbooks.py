"""Each cause that a diagnosis may name has its runbook, which names only tools that there are."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devops.diagnosis.rules import RULES
from devops.runbooks import address, runbooks
from tests.support.operations import PRODUCTION, Served, ask, person, served

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
PARTS = ["What it means", "Look first", "Do", "Check", "If it does not help", "So that it does not come back"]
WORDS_WITH_UNDERSCORE = {"config_maps", "recent_changes"}


@pytest.fixture
async def ops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    async with served(tmp_path) as server:
        yield server


def test_each_cause_has_a_runbook_and_each_runbook_a_cause() -> None:
    found = runbooks()
    assert {rule.name for rule in RULES} == set(found)
    for rule in RULES:
        text = found[rule.name]
        assert text.startswith(f"# {rule.cause}\n"), rule.name
        assert re.findall(r"(?m)^## (.*)$", text) == PARTS, rule.name
        assert all(part.strip() for part in re.split(r"(?m)^##? .*$", text)[2:]) and len(text) > 900, rule.name


async def test_runbooks_name_tools_that_there_are(ops: Served) -> None:
    async with ops.client(person("olga", "operator")) as olga:
        tools = {tool.name for tool in await olga.list_tools()}
    for name, text in runbooks().items():
        named = set(re.findall(r"`([a-z]+_[a-z_]+|diagnose)`", text)) - WORDS_WITH_UNDERSCORE
        assert named and named <= tools, (name, named - tools)
        others = {f"{each}" for each in re.findall(r"\bsee ([a-z]+-[a-z-]+)", text)}
        assert others <= set(runbooks()), (name, others)


@ERAS
async def test_a_diagnosis_names_runbooks_that_can_be_read(ops: Served, mode: str) -> None:
    async with ops.client(person(), mode) as alice:
        listed = {str(each.uri): each for each in await alice.list_resources()}
        assert set(listed) == {address(rule.name) for rule in RULES}
        assert all(each.title and each.description and each.mime_type == "text/markdown" for each in listed.values())
        found = await ask(alice, "diagnose", namespace=PRODUCTION, name="alert-engine")
        for cause in found["causes"]:
            [content] = await alice.read_resource(cause["runbook"])
            assert content.text.startswith(f"# {cause['cause']}\n")
        for wrong in (
            "devops://runbooks/nothing",
            "devops://runbooks/../rules.py",
            "devops://runbooks/%2e%2e/rules.py",
        ):
            with pytest.raises(Exception, match=r"(?i)unknown resource|not found|does not exist"):
                await alice.read_resource(wrong)


@ERAS
async def test_who_may_read_nothing_sees_no_runbook(ops: Served, mode: str) -> None:
    async with ops.client(person("pat", clearance="public"), mode) as pat:
        assert await pat.list_resources() == []
        with pytest.raises(Exception, match="Resource not found"):
            await pat.read_resource(address("no-room"))
