"""The prompts as a client sees them, in both protocol eras."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.security.principal import Principal
from tests.support.knowledge import Served, served

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
READER = Principal("alice", "acme", frozenset({"user"}), frozenset(), "internal")
NAMES = {"answer_with_citations", "what_changed", "find_owner"}


@pytest.fixture
async def kb(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as server:
        yield server


@ERAS
async def test_prompts_and_their_arguments_are_described(kb: Served, mode: str) -> None:
    async with kb.client(READER, mode) as alice:
        prompts = {prompt.name: prompt for prompt in await alice.list_prompts()}
    assert set(prompts) == NAMES
    for prompt in prompts.values():
        assert prompt.title and prompt.description
        assert all(argument.description and argument.required for argument in prompt.arguments)
    assert {argument.name for argument in prompts["what_changed"].arguments} == {"since", "subject"}


@ERAS
async def test_a_prompt_holds_the_arguments_as_they_are(kb: Served, mode: str) -> None:
    async with kb.client(READER, mode) as alice:
        question = 'Is tea < 90 °C "hot"? {{ 7 * 7 }}'
        given = await alice.get_prompt("answer_with_citations", {"question": question})
        assert given.messages[0].role == "user" and question in given.messages[0].content.text
        changed = await alice.get_prompt("what_changed", {"since": " 2026-01-31", "subject": "expenses"})
        assert "since 2026-01-31 in" in changed.messages[0].content.text
        assert "expenses" in (await alice.get_prompt("find_owner", {"subject": "expenses"})).messages[0].content.text


@ERAS
async def test_wrong_arguments_are_named(kb: Served, mode: str) -> None:
    async with kb.client(READER, mode) as alice:
        with pytest.raises(Exception, match="Write it as 2026-01-31"):
            await alice.get_prompt("what_changed", {"since": "last week", "subject": "expenses"})
        with pytest.raises(Exception, match="Missing required arguments: {'subject'}"):
            await alice.get_prompt("find_owner", {})
        with pytest.raises(Exception, match="longer than 2000 characters") as caught:
            await alice.get_prompt("find_owner", {"subject": "hunter2" * 300})
        assert "hunter2" not in str(caught.value)


@ERAS
async def test_without_a_role_there_are_no_prompts(kb: Served, mode: str) -> None:
    async with kb.client(Principal("eve", "acme", clearance="restricted"), mode) as eve:
        assert await eve.list_prompts() == []
        with pytest.raises(Exception, match="Unknown prompt: 'find_owner'"):
            await eve.get_prompt("find_owner", {"subject": "tea"})
        with pytest.raises(Exception, match="Unknown prompt: 'no_such_prompt'"):
            await eve.get_prompt("no_such_prompt", {})


async def test_a_prompt_names_only_tools_that_there_are(kb: Served) -> None:
    async with kb.client(READER) as alice:
        tools = {tool.name for tool in await alice.list_tools()}
        text = ""
        for prompt in await alice.list_prompts():
            arguments = {argument.name: "2026-01-31" for argument in prompt.arguments}
            text += (await alice.get_prompt(prompt.name, arguments)).messages[0].content.text
    for tool in ("search", "fetch", "list_versions", "compare_versions"):
        assert f"`{tool}`" in text and tool in tools
