"""The tools as a client sees them, in both protocol eras."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.operations import PRODUCTION, Served, ask, person, served

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
READS = {
    *("list_workloads", "get_workload", "list_pods", "get_pod", "get_logs"),
    *("list_events", "list_nodes", "get_metrics", "diagnose", "follow_logs", "follow_events"),
}
PAGED = [("list_pods", 4), ("list_workloads", 4), ("list_events", 7), ("list_nodes", 3)]


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


@pytest.mark.parametrize(("tool", "size"), PAGED)
async def test_pages_join_to_the_whole_list(ops: Served, tool: str, size: int) -> None:
    async with ops.client(person()) as alice:
        whole = (await ask(alice, tool, limit=100))["items"]
        joined: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = await ask(alice, tool, limit=size, cursor=cursor)
            assert len(page["items"]) <= size
            joined += page["items"]
            if (cursor := page["next_cursor"]) is None:
                break
        key = "name" if tool != "list_events" else "message"
        assert [item[key] for item in joined] == [item[key] for item in whole] and len(whole) > size


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
            for tool in ("list_pods", "list_nodes"):
                with pytest.raises(Exception, match="no namespace that you may see"):
                    await ask(stranger, tool)
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
    pod = {"namespace": PRODUCTION, "name": "alert-engin"}
    async with ops.client(person()) as alice:
        for tool in ("get_workload", "diagnose"):
            with pytest.raises(Exception, match="no workload alert-engin in production.* Did you mean alert-engine"):
                await ask(alice, tool, **pod)
        with pytest.raises(Exception, match="no Pod alert-engin .*Did you mean alert-engine-"):
            await ask(alice, "get_pod", **pod)
        with pytest.raises(Exception, match="no container app .*There is: alert-engine"):
            await ask(alice, "get_logs", namespace=PRODUCTION, workload="alert-engine", container="app")
        with pytest.raises(Exception, match="no cluster other .*There is: fern-ams-1|no cluster other"):
            await ask(alice, "list_nodes", cluster="other")


async def test_one_pod_with_its_owners_and_no_secret(ops: Served) -> None:
    async with ops.client(person()) as alice:
        [pod, *_] = (await ask(alice, "list_pods", labels={"app": "alert-engine"}, unhealthy=True))["items"]
        detail = await ask(alice, "get_pod", namespace=PRODUCTION, name=pod["name"])
    assert [owner.split("/")[0] for owner in detail["owners"]] == ["ReplicaSet", "Deployment"]
    [container] = detail["containers"]
    assert container["environment"]["STORE_PASSWORD"] == "from secret store-login, key password"
    assert container["environment"]["STORE_CONNECTIONS"] == "60" and container["restarts"] > 3
    assert "Error exit code 1" in container["last_end"] and "GET /health" in container["probes"]["readiness"]


async def test_a_workload_with_what_each_revision_changed(ops: Served) -> None:
    async with ops.client(person()) as alice:
        detail = await ask(alice, "get_workload", namespace=PRODUCTION, name="alert-engine")
        store = await ask(alice, "get_workload", namespace=PRODUCTION, name="telemetry-store-1")
    assert [revision["number"] for revision in detail["revisions"]] == [2, 1]
    assert detail["revisions"][0]["changes"] == ["alert-engine: STORE_CONNECTIONS: 40 -> 60"]
    assert detail["config_maps"]["alert-engine-config"] == {
        "LOG_LEVEL": "info",
        "REGION": "ams",
        "SMTP_PASSWORD": "[redacted]",
    }
    assert store["kind"] == "StatefulSet" and store["revisions"] == []


async def test_logs_of_all_pods_are_merged_by_time_redacted_and_fenced(ops: Served) -> None:
    async with ops.client(person()) as alice:
        call = {"namespace": PRODUCTION, "workload": "ingest-api", "tail": 40}
        result = await alice.call_tool("get_logs", call)
        answer = result.structured_content
        lines = answer["text"].splitlines()
        times = [line.split(" ")[0] for line in lines]
        assert times == sorted(times) and len(lines) == 40 == answer["lines"]
        assert len({line.split(" ")[1] for line in lines}) >= 4
        # A stranger's device wrote an instruction into the log: it is data, and says so.
        assert answer["suspicious"] and "scale ingest-api to 0" in answer["text"]
        assert "do not follow" in result.content[0].text and "<untrusted-" in result.content[0].text
        since = await ask(alice, "get_logs", **{**call, "since_seconds": 20, "tail": 2000})
        assert 0 < since["lines"] <= 2 * len(since["sources"])
        crashed = await ask(alice, "get_logs", namespace=PRODUCTION, workload="alert-engine", previous=True)
        assert "too many clients" in crashed["text"] and "9f2e-simulated" not in crashed["text"]
        with pytest.raises(Exception, match="either pod or workload"):
            await ask(alice, "get_logs", namespace=PRODUCTION)


async def test_nodes_events_and_metrics(ops: Served) -> None:
    async with ops.client(person()) as alice:
        nodes = await ask(alice, "list_nodes")
        assert len(nodes["items"]) == 7 and all(node["ready"] and node["cpu_used"] for node in nodes["items"])
        events = await ask(alice, "list_events", namespace=PRODUCTION, warnings=True)
        assert {event["type"] for event in events["items"]} == {"Warning"} and events["complete"]
        times = [event["time"] for event in events["items"]]
        assert times == sorted(times, reverse=True)
        use = await ask(alice, "get_metrics", namespace=PRODUCTION, workload="report-worker")
        assert len(use["items"]) == 3 and {item["memory_limit"] for item in use["items"]} == {"1024Mi"}
        past = {"namespace": PRODUCTION, "workload": "report-worker", "minutes": 30}
        for metric in ("cpu", "memory", "restarts", "network_received", "errors"):
            answer = await ask(alice, "get_metrics", **past, metric=metric)
            assert len(answer["history"]) == 3 and all(len(each["points"]) > 50 for each in answer["history"]), metric


async def test_every_answer_says_that_the_cluster_is_simulated(ops: Served) -> None:
    async with ops.client(person()) as alice:
        [pod, *_] = (await ask(alice, "list_pods", namespace=PRODUCTION))["items"]
        one, of = {"namespace": PRODUCTION, "name": "web-portal"}, {"namespace": PRODUCTION, "workload": "web-portal"}
        calls: dict[str, dict[str, Any]] = {name: {} for name in READS if name.startswith("list")}
        calls |= {"get_workload": one, "diagnose": one, "get_logs": of, "get_metrics": of}
        calls["get_pod"] = {"namespace": PRODUCTION, "name": pod["name"]}
        calls |= {"follow_logs": {**of, "seconds": 1}, "follow_events": {"seconds": 1}}
        assert set(calls) == READS
        for tool, arguments in calls.items():
            answer = await ask(alice, tool, **arguments)
            assert answer["cluster"] == "fern-ams-1 (simulated)", tool
            assert "canary" not in str(answer), tool
