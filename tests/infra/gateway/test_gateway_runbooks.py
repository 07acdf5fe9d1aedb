"""A real domain's prompts and runbooks behind the gateway: prompts get the prefix, addresses stay as they are."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.settings import CommonSettings
from devops.diagnosis.rules import RULES
from devops.runbooks import address
from devops.server import build
from tests.support.gateway import HOST, Site, gateway_in_front, listening

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
ROLLOUT = {"namespace": "production", "workload": "web-portal", "image": "web-portal:1"}


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Site]:
    settings = CommonSettings(data_dir=tmp_path, rate_limit_per_second=1000, rate_limit_burst=1000)
    built = build(settings, f"http://{HOST}:8002")
    async with listening(built.app) as port, gateway_in_front(tmp_path, {"devops": [f"http://{HOST}:{port}"]}) as site:
        yield site


@ERAS
async def test_prompts_and_runbooks_pass(front: Site, mode: str) -> None:
    async with front.client(front.token(tenant="local"), mode) as client:
        prompts = {each.name for each in await client.list_prompts()}
        assert prompts == {f"devops_{name}" for name in ("investigate_incident", "plan_rollout", "write_post_mortem")}
        found = await client.get_prompt("devops_plan_rollout", ROLLOUT)
        assert "production/web-portal" in found.messages[0].content.text
        with pytest.raises(Exception, match="no name that Kubernetes knows"):
            await client.get_prompt("devops_plan_rollout", {**ROLLOUT, "namespace": "a b"})
        listed = {str(each.uri) for each in await client.list_resources()}
        assert listed == {address(rule.name) for rule in RULES}
        called = await client.call_tool("devops_diagnose", {"namespace": "production", "name": "web-portal"})
        [runbook] = await client.read_resource(called.structured_content["causes"][0]["runbook"])
        assert runbook.text.startswith("# The readiness probe fails")


@ERAS
async def test_who_may_not_use_them_does_not_see_them(front: Site, mode: str) -> None:
    async with front.client(front.token("pat", tenant="local", clearance="public"), mode) as client:
        assert await client.list_prompts() == [] and await client.list_resources() == []
        with pytest.raises(Exception, match="(?i)unknown prompt"):
            await client.get_prompt("devops_plan_rollout", ROLLOUT)
        with pytest.raises(Exception, match="Resource not found"):
            await client.read_resource(address("no-room"))
