"""The tools as a client sees them, in both protocol eras."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.operations import PRODUCTION, Served, ask, person, served

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
READS = {"list_workloads", "list_pods"}


@pytest.fixture
async def ops(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as server:
        yield server


@ERAS
async def test_what_is_broken_is_found(ops: Served, mode: str) -> None:
    async with ops.client(person(), mode) as alice:
        answer = await ask(alice, "list_workloads", unhealthy=True)
        broken = {item["name"] for item in answer["items"]}
        assert broken == {"alert-engine", "billing-api", "ingest-api", "ingest-replay", "web-portal"}
        assert answer["cluster"] == "fern-ams-1 (simulated)"
        pods = await ask(alice, "list_pods", namespace=PRODUCTION, labels={"app": "alert-engine"}, unhealthy=True)
        assert {pod["status"] for pod in pods["items"]} == {"CrashLoopBackOff"}


async def test_every_tool_explains_itself_and_changes_nothing(ops: Served) -> None:
    async with ops.client(person()) as alice:
        tools = await alice.list_tools()
    assert {tool.name for tool in tools} == READS
    for tool in tools:
        assert tool.title and tool.description and tool.output_schema, tool.name
        assert tool.annotations.read_only_hint, tool.name
        assert all("description" in value for value in tool.input_schema["properties"].values()), tool.name


async def test_pages_join_to_the_whole_list(ops: Served) -> None:
    async with ops.client(person()) as alice:
        for tool in ("list_pods", "list_workloads"):
            whole = (await ask(alice, tool, limit=500))["items"]
            joined: list[dict[str, Any]] = []
            cursor = None
            while True:
                page = await ask(alice, tool, limit=4, cursor=cursor)
                assert len(page["items"]) <= 4
                joined += page["items"]
                if (cursor := page["next_cursor"]) is None:
                    break
            assert joined == whole and len(whole) > 4


async def test_a_cursor_is_signed_and_fits_its_own_question_and_caller_only(ops: Served) -> None:
    async with ops.client(person()) as alice, ops.client(person("bob")) as bob:
        cursor = (await ask(alice, "list_pods", limit=2))["next_cursor"]
        forged = cursor[:-4] + ("AAAA" if not cursor.endswith("AAAA") else "BBBB")
        wrong = [(bob, cursor, {}), (alice, cursor, {"namespace": PRODUCTION}), (alice, forged, {}), (alice, "x", {})]
        for client, given, more in wrong:
            with pytest.raises(Exception, match="cursor does not fit"):
                await ask(client, "list_pods", limit=2, cursor=given, **more)


async def test_other_tenants_groups_and_low_clearance_see_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVOPS_NAMESPACE_GROUPS", '{"load-test": ["qa"], "*": ["engineering"]}')
    async with served(tmp_path) as ops:
        async with ops.client(person(tenant="marlow")) as stranger:
            with pytest.raises(Exception, match="no namespace that you may see"):
                await ask(stranger, "list_pods")
        async with ops.client(person(clearance="public")) as contractor:
            assert await contractor.list_tools() == []
            with pytest.raises(Exception, match="Unknown tool"):
                await ask(contractor, "list_pods")
        async with ops.client(person(group="qa")) as tester:
            names = {item["namespace"] for item in (await ask(tester, "list_pods", limit=500))["items"]}
            assert names == {"load-test"}
            messages = []
            for namespace in (PRODUCTION, "nothing-there"):
                with pytest.raises(Exception, match="that you may see") as refused:
                    await ask(tester, "list_pods", namespace=namespace)
                messages.append(str(refused.value).replace(namespace, "X"))
            # Whether it exists cannot be told from the answer.
            assert messages[0] == messages[1] and PRODUCTION not in messages[0].replace("X", "")


@pytest.mark.parametrize(
    "arguments",
    [
        {"namespace": "--all-namespaces"},
        {"namespace": "-n"},
        {"namespace": "../kube-system"},
        {"namespace": "production/pods"},
        {"namespace": "production?x"},
        {"namespace": "production\n"},
        {"namespace": "kube-system"},
        {"node": "--kubeconfig=/etc/passwd"},
        {"node": "a/../b"},
        {"labels": {"app": "a,b"}},
        {"labels": {"app=x,team": "a"}},
        {"labels": {"app": "--all"}},
        {"labels": {"!app": ""}},
        {"limit": 501},
        {"cluster": "https://example.com"},
        {"kubectl": "get secrets"},
    ],
)
async def test_what_is_no_name_gets_nowhere(ops: Served, arguments: dict[str, Any]) -> None:
    async with ops.client(person()) as alice:
        with pytest.raises(Exception, match="Invalid arguments|not a Kubernetes label|that you may see"):
            await ask(alice, "list_pods", **arguments)


async def test_names_that_are_nearly_right_are_answered_with_the_right_ones(ops: Served) -> None:
    async with ops.client(person()) as alice:
        with pytest.raises(Exception, match="Did you mean production"):
            await ask(alice, "list_pods", namespace="prodution")
