"""The rights of infra/kubernetes/base/devops/rbac-read-only.yaml on a real API server: enough, and not one too many."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devops.adapters.kubernetes_cluster import KubernetesCluster
from tests.support.clusters import Place, audit_records, real
from tests.support.operations import Served, ask, person, served
from tests.support.rights import Account, account, kubeconfig_with, rights_of, rules_of, rules_without, serve_metrics

FOLDER = Path(__file__).parents[2] / "infra" / "kubernetes"
READ_ONLY = FOLDER / "base/devops/rbac-read-only.yaml"
IMPERSONATION = FOLDER / "components/devops-impersonation/rbac.yaml"
CANARY = "canary-5d81c0"
READS = {"get", "list", "watch"}


@dataclass
class Limited:
    """The server with an account of its own, over a namespace with something in it."""

    ops: Served
    place: Place
    account: Account
    calls: dict[str, dict[str, Any]]
    folder: Path

    async def run(self, tool: str) -> dict[str, Any]:
        async with self.ops.client(person()) as alice:
            return await ask(alice, tool, **self.calls[tool])


async def furnish(place: Place) -> str:
    """A workload with settings and secrets; gives the name of a pod."""
    where = place.namespace
    metadata = {"namespace": where, "name": "settings"}
    settings = {"LOG_LEVEL": "info", "DB_PASSWORD": CANARY, "URL": f"postgres://app:{CANARY}@db/x"}
    await place.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": settings})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {**metadata, "name": "login"}}
    await place.create({**secret, "stringData": {"password": CANARY}})
    env = [
        {"name": "API_TOKEN", "value": CANARY},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
    ]
    await place.deploy("app", 2, "crashes", env=env, envFrom=[{"configMapRef": {"name": "settings"}}])
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"namespace": where, "name": "quota"}}
    await place.create({**quota, "spec": {"hard": {"pods": "50"}}})
    return str((await place.pods(2))[0]["metadata"]["name"])


@pytest.fixture
async def limited(kubernetes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Limited]:
    log = f"2026-11-23T05:00:00.000000000Z stdout F login password={CANARY}\n"
    (kubernetes_folder / "pod.log").write_text(log)
    (kubernetes_folder / "pod-previous.log").write_text(log)
    async with real(kubernetes_folder) as place:
        assert isinstance(place.cluster, KubernetesCluster)
        api, where = place.cluster.api, place.namespace
        pod = await furnish(place)
        use = {"cpu": "100m", "memory": "64Mi"}
        version = {"apiVersion": "metrics.k8s.io/v1beta1"}
        pod_use = {**version, "kind": "PodMetrics", "metadata": {"name": pod, "namespace": where}}
        node_use = {**version, "kind": "NodeMetrics", "metadata": {"name": "node-0"}, "usage": use}
        containers = {"containers": [{"name": "app", "usage": use}]}
        await serve_metrics(api, {f"/namespaces/{where}/pods": {**pod_use, **containers}, "/nodes": node_use})
        limited = await account(api, where, rules_of(READ_ONLY))
        config = kubeconfig_with(kubernetes_folder, limited.token, tmp_path / "kubeconfig")
        monkeypatch.setenv("DEVOPS_CLUSTER", "kubeconfig")
        monkeypatch.setenv("DEVOPS_KUBECONFIG", str(config))
        one, own = {"namespace": where, "name": "app"}, {"namespace": where}
        calls: dict[str, dict[str, Any]] = {
            **{"list_workloads": own, "list_pods": {}, "list_events": own, "list_nodes": {}},
            **{"get_workload": one, "diagnose": one, "get_pod": {"namespace": where, "name": pod}},
            **{"get_logs": {**own, "workload": "app"}, "get_metrics": own},
            **{"follow_logs": {**own, "workload": "app", "seconds": 1}, "follow_events": {**own, "seconds": 1}},
        }
        async with served(tmp_path / "data") as ops:
            yield Limited(ops, place, limited, calls, kubernetes_folder)


def own_records(limited: Limited) -> list[dict[str, Any]]:
    """What the API server's own audit log has of this account."""
    records = audit_records(limited.folder)
    return [record for record in records if record["user"]["username"] == limited.account.user]


async def test_every_tool_works_changes_nothing_and_reads_no_secret(limited: Limited) -> None:
    async with limited.ops.client(person()) as alice:
        assert {tool.name for tool in await alice.list_tools()} == set(limited.calls)
    answers = {tool: await limited.run(tool) for tool in limited.calls}
    assert answers["diagnose"]["missing"] == []
    assert answers["list_nodes"]["items"][0]["cpu_used"] == "100m"
    assert {item["memory"] for item in answers["get_metrics"]["items"]} == {"64Mi", None}
    assert "password=[redacted]" in answers["get_logs"]["text"]
    assert "password=[redacted]" in answers["follow_logs"]["text"]
    assert answers["get_workload"]["config_maps"]["settings"]["LOG_LEVEL"] == "info"
    for tool, answer in answers.items():
        assert CANARY not in json.dumps(answer), tool
        assert answer["cluster"] == "default", tool
    records = own_records(limited)
    assert len(records) > 15 and {record["verb"] for record in records} == READS
    assert not [record for record in records if record["responseStatus"]["code"] in (401, 403)]
    assert not [record for record in records if record["objectRef"].get("resource") == "secrets"]


NEEDED_BY = {
    ("", "namespaces", "list"): "list_pods",
    ("", "events", "list"): "list_events",
    ("", "events", "watch"): "follow_events",
    ("", "resourcequotas", "list"): "diagnose",
    ("", "pods", "get"): "get_pod",
    ("", "pods", "list"): "list_pods",
    ("", "nodes", "get"): "diagnose",
    ("", "nodes", "list"): "list_nodes",
    ("", "pods/log", "get"): "get_logs",
    ("", "configmaps", "get"): "get_workload",
    ("apps", "deployments", "get"): "get_workload",
    ("apps", "deployments", "list"): "list_workloads",
    ("apps", "statefulsets", "get"): "get_workload",
    ("apps", "statefulsets", "list"): "list_workloads",
    ("apps", "daemonsets", "get"): "get_workload",
    ("apps", "daemonsets", "list"): "list_workloads",
    ("apps", "replicasets", "get"): "get_pod",
    ("apps", "replicasets", "list"): "get_workload",
    ("metrics.k8s.io", "pods", "list"): "get_metrics",
    ("metrics.k8s.io", "nodes", "list"): "list_nodes",
}
OTHER_KIND = {"statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}


async def test_without_any_one_right_a_tool_does_not_do_its_work(limited: Limited) -> None:
    rules = rules_of(READ_ONLY)
    assert rights_of(rules) == set(NEEDED_BY)
    for (group, resource, verb), tool in NEEDED_BY.items():
        await limited.account.allow(rules_without(rules, (group, resource, verb)))
        name = f"{tool} without {verb} {resource}"
        if tool == "get_workload" and resource in OTHER_KIND:
            limited.calls[tool]["kind"] = OTHER_KIND[resource]
        try:
            answer = await limited.run(tool)
        except Exception as error:
            assert "refuses" in str(error) and "docs/devops.md" in str(error), name
        else:
            if tool == "diagnose":
                assert answer["missing"], name
            else:
                assert answer["items"][0]["cpu_used"] is None, name
        limited.calls["get_workload"].pop("kind", None)


async def test_impersonation_lets_the_clusters_own_rights_decide(
    kubernetes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with real(kubernetes_folder) as place:
        assert isinstance(place.cluster, KubernetesCluster)
        api, where = place.cluster.api, place.namespace
        await place.deploy("app", 1)
        [pod] = await place.pods(1)
        server = await account(api, where, rules_of(IMPERSONATION))
        group = f"readers-of-{where}"
        for kind, name in (("User", "root-of-nothing"), ("Group", group)):
            await bind_readers(place, kind, name)
        config = kubeconfig_with(kubernetes_folder, server.token, tmp_path / "kubeconfig")
        monkeypatch.setenv("DEVOPS_CLUSTER", "kubeconfig")
        monkeypatch.setenv("DEVOPS_KUBECONFIG", str(config))
        monkeypatch.setenv("DEVOPS_IMPERSONATE", "true")
        call = {"namespace": where, "name": pod["metadata"]["name"]}
        async with served(tmp_path / "data") as ops:
            async with ops.client(person("alice", group=group)) as alice:
                assert (await ask(alice, "get_pod", **call))["status"] == "Running"
            async with ops.client(person("bob", group="others")) as bob:
                with pytest.raises(Exception, match='refuses that: .*User "bob" cannot'):
                    await ask(bob, "get_pod", **call)
            for stranger in (person("eve", group="system:masters"), person("system:admin", group=group)):
                async with ops.client(stranger) as eve:
                    with pytest.raises(Exception, match="belong to the cluster"):
                        await ask(eve, "get_pod", **call)
        records = audit_records(kubernetes_folder)
        acted = [r["impersonatedUser"] for r in records if r["user"]["username"] == server.user]
        assert {(who["username"], *who["groups"]) for who in acted} == {
            ("alice", group, "system:authenticated"),
            ("bob", "others", "system:authenticated"),
        }


async def bind_readers(place: Place, kind: str, name: str) -> None:
    """Rights to read, the way an administrator of the cluster gives them to people."""
    group = "rbac.authorization.k8s.io"
    metadata = {"name": f"{place.namespace}-{kind.lower()}"}
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules_of(READ_ONLY)}
    binding = {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": metadata}
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": metadata["name"]}
    subject = {"apiGroup": group, "kind": kind, "name": name}
    await place.create(role)
    await place.create({**binding, "roleRef": reference, "subjects": [subject]})
