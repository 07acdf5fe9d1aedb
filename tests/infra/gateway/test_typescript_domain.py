"""A domain of another language and of the older protocol alone, behind the gateway, for clients of both eras."""

from pathlib import Path

import pytest
from fastmcp.exceptions import ToolError

from tests.support.gateway import domain_server, gateway_in_front


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_it_serves_clients_of_both_eras_beside_the_others(
    tmp_path: Path, typescript_domain_url: str, mode: str
) -> None:
    async with domain_server(tmp_path, "kb") as kb:
        urls = {"kb": [kb.url], "ts": [typescript_domain_url]}
        async with gateway_in_front(tmp_path, urls) as here, here.client(here.token(), mode) as client:
            tools = {tool.name: tool for tool in await client.list_tools()}
            assert {"kb_echo", "ts_greet", "ts_steps"} <= set(tools)
            assert tools["ts_greet"].annotations.read_only_hint is True
            greeting = await client.call_tool("ts_greet", {"name": "Ada"})
            assert greeting.structured_content == {"greeting": "Hello, Ada"}
            assert (await client.call_tool("ts_token")).content[0].text == "Bearer tk_"
            assert "ts://about" in {str(each.uri) for each in await client.list_resources()}
            assert "ts://notes/{name}" in {each.uri_template for each in await client.list_resource_templates()}
            assert (await client.read_resource("ts://notes/one"))[0].text == "note one"
            prompt = await client.get_prompt("ts_ask", {"topic": "rain"})
            assert prompt.messages[0].content.text == "Tell me of rain"
            with pytest.raises(ToolError, match="not today"):
                await client.call_tool("ts_fail")
            with pytest.raises(ToolError, match="nothing"):
                await client.call_tool("ts_nothing")
            assert (await client.call_tool("kb_echo", {"text": "hi"})).data == "hi"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_its_progress_arrives(tmp_path: Path, typescript_domain_url: str, mode: str) -> None:
    steps: list[str | None] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message)

    async with gateway_in_front(tmp_path, {"ts": [typescript_domain_url]}) as here:
        async with here.client(here.token(), mode) as client:
            result = await client.call_tool("ts_steps", progress_handler=report)
    assert result.content[0].text == "done" and steps == ["step 1", "step 2"]


async def test_what_the_domains_tell_the_model_is_told(tmp_path: Path, typescript_domain_url: str) -> None:
    async with domain_server(tmp_path, "kb") as kb:
        urls = {"kb": [kb.url], "ts": [typescript_domain_url]}
        async with gateway_in_front(tmp_path, urls) as here, here.client(here.token(), "legacy") as client:
            told = client.initialize_result.instructions
            assert "Tools kb_*: The domain kb." in told and "Tools ts_*: Greets." in told
