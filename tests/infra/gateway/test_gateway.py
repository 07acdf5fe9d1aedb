"""The gateway in front of two real domains, for clients of both protocol eras."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from fastmcp.exceptions import ToolError

from tests.support.gateway import Site, site

MODES = ["auto", "legacy"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.mark.parametrize("mode", MODES)
async def test_the_tools_of_all_domains_are_one_list_and_work(here: Site, mode: str) -> None:
    async with here.client(here.token(), mode) as client:
        names = {tool.name for tool in await client.list_tools()}
        assert {"kb_echo", "kb_where", "devops_echo", "devops_where"} <= names
        for prefix in ("kb", "devops"):
            answer = (await client.call_tool(f"{prefix}_where")).structured_content
            assert answer == {"domain": prefix, "replica": 1, "subject": "alice"}


@pytest.mark.parametrize("mode", MODES)
async def test_resources_templates_and_prompts_of_all_domains(here: Site, mode: str) -> None:
    async with here.client(here.token(), mode) as client:
        assert {str(each.uri) for each in await client.list_resources()} == {"kb://greeting", "devops://greeting"}
        templates = {each.uri_template for each in await client.list_resource_templates()}
        assert templates == {"kb://notes/{name}", "devops://notes/{name}"}
        assert {each.name for each in await client.list_prompts()} == {"kb_ask", "devops_ask"}
        [text] = await client.read_resource("devops://notes/one")
        assert text.text == "devops note one"
        prompt = await client.get_prompt("kb_ask", {"topic": "rain"})
        assert prompt.messages[0].content.text == "kb on rain"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["nowhere_echo", "kb_nothing", "echo", "kb_", "_echo"])
async def test_what_is_nowhere_is_unknown(here: Site, mode: str, name: str) -> None:
    async with here.client(here.token(), mode) as client:
        with pytest.raises(ToolError, match="Unknown tool"):
            await client.call_tool(name)


@pytest.mark.parametrize("mode", MODES)
async def test_a_tools_own_error_arrives_in_its_own_words(here: Site, mode: str) -> None:
    async with here.client(here.token(), mode) as client:
        with pytest.raises(ToolError, match=r"Somebody was faster\. Read it again\."):
            await client.call_tool("kb_fail")


@pytest.mark.parametrize("mode", MODES)
async def test_progress_arrives_while_the_tool_runs(here: Site, mode: str) -> None:
    steps: list[str | None] = []
    here.servers["kb"][0].go.clear()

    async def report(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message)
        # The tool ends only after its first word was heard: nothing was held back on the way.
        here.servers["kb"][0].go.set()

    async with here.client(here.token(), mode) as client:
        result = await client.call_tool("kb_steps", progress_handler=report)
    assert result.data == "done" and steps == ["first", "second"]


async def test_a_confirmation_passes_in_both_directions(here: Site) -> None:
    async def agree(*_: Any) -> dict[str, bool]:
        return {"confirm": True}

    async with here.client(here.token(), elicitation_handler=agree) as client:
        assert (await client.call_tool("kb_wipe", {"name": "disk"})).data == "disk: yes"


async def test_an_older_client_cannot_be_asked_and_is_told_so(here: Site) -> None:
    async with here.client(here.token(), "legacy") as client:
        assert (await client.call_tool("kb_wipe", {"name": "disk"})).data == "disk: pending"
