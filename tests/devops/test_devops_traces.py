"""What a request did in the cluster, on the page of its trace: a tool that reads, and a change with all its steps."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.auth import BearerAuth

from common.observability.traces import Trace
from common.settings import CommonSettings
from common.vertical import Served
from devops.adapters.kubernetes_api import request_name
from devops.server import build
from tests.support.audit import until
from tests.support.live import live_at
from tests.support.operations import ask

PRODUCTION = "/api/v1/namespaces/production"
NAMES = [
    ("GET", f"{PRODUCTION}/pods", (), "list pods"),
    ("GET", f"{PRODUCTION}/pods/web-1", (), "get pods"),
    ("GET", f"{PRODUCTION}/pods/web-1/log", (), "get pods/log"),
    ("POST", f"{PRODUCTION}/pods/web-1/eviction", (), "create pods/eviction"),
    ("GET", "/api/v1/namespaces", (), "list namespaces"),
    ("GET", "/api/v1/namespaces/production", (), "get namespaces"),
    ("GET", "/api/v1/nodes/node-1", (), "get nodes"),
    ("GET", "/apis/apps/v1/deployments", (), "list deployments.apps"),
    ("GET", "/apis/metrics.k8s.io/v1beta1/nodes", (), "list nodes.metrics.k8s.io"),
    (
        "PATCH",
        "/apis/apps/v1/namespaces/production/deployments/web-portal",
        (("fieldManager", "x"), ("dryRun", "All")),
        "patch deployments.apps (dry run)",
    ),
]


@pytest.mark.parametrize(("method", "path", "params", "name"), NAMES)
def test_requests_are_named_without_names_of_objects(
    method: str, path: str, params: tuple[tuple[str, str], ...], name: str
) -> None:
    assert request_name(method, path, params) == name


class Site:
    """A server on a real port, with people."""

    def __init__(self, url: str, served: Served) -> None:
        self.url, self.runtime = url, served.runtime

    def key(self, name: str, *roles: str, tenant: str = "local") -> str:
        return self.runtime.credentials.api_keys.create(name, tenant, list(roles), ["engineering"])[1]

    async def call(self, key: str, tool: str, **arguments: Any) -> tuple[dict[str, Any], Trace]:
        """The answer, and what was kept of the call."""
        async with Client(f"{self.url}/mcp", auth=BearerAuth(key)) as client:
            answer = await ask(client, tool, **arguments)
        return answer, next(each for each in self.runtime.traces.last("local", 50) if each.name == tool)

    @asynccontextmanager
    async def browser(self, key: str) -> AsyncIterator[httpx2.AsyncClient]:
        async with httpx2.AsyncClient(base_url=self.url, timeout=60) as browser:
            answer = await browser.post("/console/sign-in", data={"key": key, "next": "/console"})
            assert answer.status_code == 303
            await until(lambda: not self.runtime.audit.backlog)
            yield browser


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setenv("DEVOPS_MODE", "read-write")
    found: list[Served] = []

    def built(url: str) -> Any:
        found.append(build(CommonSettings(data_dir=tmp_path, rate_limit_burst=1000), url))
        return found[0].app

    async with live_at(built) as url:
        yield Site(url, found[0])


def steps(trace: Trace) -> list[str]:
    return [f"{each.layer}: {each.name}" for each in trace.steps]


async def test_a_tool_that_reads_shows_each_question_to_the_cluster(site: Site) -> None:
    _, trace = await site.call(site.key("alice", "user"), "diagnose", namespace="production", name="ingest-api")
    found = steps(trace)
    assert {"cluster: list events, simulated", "cluster: list pods, simulated"} <= set(found)
    # Neither arguments nor names of objects: `engineering` may see what an auditor may not.
    assert "ingest-api" not in " ".join(found) and "production" not in " ".join(found)
    assert all(step.seconds is not None and step.outcome for step in trace.steps)
    async with site.browser(site.key("ada", "auditor")) as auditor:
        page = await auditor.get("/console/traces", params={"request_id": trace.request_id})
        assert page.text.count("list pods, simulated") >= 1 and "intent: diagnose" in page.text
        assert "ingest-api" not in page.text
    async with site.browser(site.key("eve", "auditor", tenant="marlow")) as stranger:
        page = await stranger.get("/console/traces", params={"request_id": trace.request_id})
        assert "Nothing is known of this request" in page.text


async def test_each_step_of_a_change_leads_to_what_it_did(site: Site) -> None:
    olga, amir = site.key("olga", "operator"), site.key("amir", "approver", "auditor")
    where = {"namespace": "production", "name": "web-portal", "replicas": 0}
    change, planned = await site.call(olga, "scale_workload", **where)
    assert "cluster: update deployments.apps (dry run), simulated" in steps(planned)
    assert "audit: wait until the intent is durable" in steps(planned)
    address = f"/console/changes/{change['change_id']}"
    async with site.browser(amir) as browser:
        token = re.search(rf'action="{address}/approve">\s*<input[^>]*value="(\w+)"', (await browser.get(address)).text)
        assert token
        form = {"form_token": token[1], "digest": change["digest"]}
        assert (await browser.post(f"{address}/approve", data=form)).status_code == 303
        page = (await browser.get(address)).text
        links = re.findall(r'href="(/console/traces\?[^"]*)"', page)
        traces = [(await browser.get(unescape(link))).text for link in links]
    assert "executing" in page and len(set(links)) == 3  # planned, approved, executed
    assert "scale_workload" in traces[0] and "outcome: scale_workload" in traces[0]
    approved = next(each for each in traces if "POST /console/changes/{id}/approve" in each)
    assert "outcome: approve_change" in approved
    executed = next(each for each in traces if "intent: execute_change" in each)
    assert "update deployments.apps, simulated" in executed and "outcome: execute_change" in executed
    assert "Another process" not in "".join(traces)
    async with site.browser(site.key("bob", "approver")) as browser:
        assert "/console/traces" not in (await browser.get(address)).text
