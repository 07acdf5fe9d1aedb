"""The rights of components/devops-read-write/rbac.yaml on a real API server: enough, and not one too many.

Everything is a server-side dry run, for which the API server asks for the same rights.
"""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from common.errors import Conflict, Denied
from devops.adapters.kubernetes_api import KubernetesApi
from devops.adapters.kubernetes_cluster import KubernetesCluster
from devops.adapters.kubernetes_target import KubernetesTarget
from devops.changes.applying import APPLICABLE, DELETABLE
from devops.kinds import BUDGET, DAEMON_SET, DEPLOYMENT, KINDS, NODE, POD, SECRET, STATEFUL_SET, Kind
from devops.ports import Manifest
from tests.support.clusters import Place, real
from tests.support.rights import account, kubeconfig_with, rights_of, rules_of, rules_without

FOLDER = Path(__file__).parents[2] / "infra" / "kubernetes"
READ, WRITE = FOLDER / "base/devops/rbac-read-only.yaml", FOLDER / "components/devops-read-write/rbac.yaml"
LABELS = {"app": "x"}
POD_SPEC = {"containers": [{"name": "app", "image": "example.com/app:1"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD_SPEC}
JOB_SPEC = {"template": {"spec": {**POD_SPEC, "restartPolicy": "Never"}}}
SELECTED = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
SPECS: dict[str, Manifest] = {
    "Deployment": SELECTED,
    "StatefulSet": {**SELECTED, "serviceName": "x"},
    "DaemonSet": {**SELECTED, "template": {**TEMPLATE, "spec": {**POD_SPEC, "nodeSelector": {"none": "x"}}}},
    "Job": JOB_SPEC,
    "CronJob": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": JOB_SPEC}},
    "Service": {"ports": [{"port": 80}], "selector": LABELS},
    "Ingress": {"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}},
    "HorizontalPodAutoscaler": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"},
        "maxReplicas": 2,
    },
    "PodDisruptionBudget": {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}},
    "Pod": {**POD_SPEC, "nodeName": "node-0"},
}


def manifest(kind: Kind, namespace: str, name: str) -> Manifest:
    """A small object of the kind."""
    body = {"data": {"a": "b"}} if kind.name == "ConfigMap" else {"spec": copy.deepcopy(SPECS[kind.name])}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **body}


class Writing:
    """Each thing that changes do, once, as a dry run."""

    def __init__(self, place: Place, target: KubernetesTarget) -> None:
        self.place = place
        self.target = target

    async def live(self, kind: Kind, namespace: str | None, name: str) -> Manifest:
        found = await self.place.cluster.get(kind, namespace, name)
        found["metadata"].pop("managedFields", None)
        return found

    async def use(self, resource: str, verb: str) -> None:
        """What needs this right."""
        kind = next(kind for kind in KINDS.values() if kind.plural == resource.partition("/")[0])
        where = self.place.namespace
        if resource == "pods/eviction":
            pod = await self.live(POD, where, "there")
            await self.target.evict(where, "there", pod["metadata"]["uid"], dry_run=True)
        elif verb == "create":
            await self.target.create(manifest(kind, where, "new"), dry_run=True)
        elif verb == "patch":
            await self.target.apply(manifest(kind, where, "there"), dry_run=True)
        elif verb == "get":
            assert await self.target.read(kind, where, "there")
        elif verb == "list":
            assert await self.target.related(kind, where)
        elif verb == "update":
            node = kind is NODE
            item = await self.live(kind, None if node else where, "node-0" if node else "there")
            await self.target.replace(item, dry_run=True)
        else:
            metadata = (await self.live(kind, where, "there"))["metadata"]
            version, uid = metadata["resourceVersion"], metadata["uid"]
            await self.target.delete(kind, where, "there", version, uid, dry_run=True)


@pytest.fixture
async def place(kubernetes_folder: Path) -> AsyncIterator[Place]:
    async with real(kubernetes_folder) as place:
        for kind in DELETABLE.values():
            await place.create(manifest(kind, place.namespace, "there"))
        yield place


async def until_settled(work: Callable[[], Awaitable[None]]) -> None:
    """Controllers write to the objects, too: a conflict with them is tried again."""
    for attempt in range(5):
        try:
            return await work()
        except Conflict:
            if attempt == 4:
                raise


async def test_each_right_to_write_is_needed_and_all_together_suffice(
    place: Place, kubernetes_folder: Path, tmp_path: Path
) -> None:
    assert isinstance(place.cluster, KubernetesCluster)
    rules = [*rules_of(READ), *rules_of(WRITE)]
    limited = await account(place.cluster.api, place.namespace, rules)
    api = KubernetesApi(kubeconfig_with(kubernetes_folder, limited.token, tmp_path / "kubeconfig"), None)
    await api.open()
    try:
        writing = Writing(place, KubernetesTarget("real", api))
        rights = sorted(rights_of(rules_of(WRITE)))
        for _, resource, verb in rights:
            await until_settled(lambda resource=resource, verb=verb: writing.use(resource, verb))  # type: ignore[misc]
        for right in rights:
            await limited.allow(rules_without(rules, right))
            with pytest.raises(Denied, match="refuses that"):
                await writing.use(right[1], right[2])
        await limited.allow(rules)
        with pytest.raises(Denied):
            await writing.target.read(SECRET, place.namespace, "there")
    finally:
        await api.close()


def test_the_rights_are_those_of_the_kinds_that_changes_may_touch() -> None:
    rights = rights_of(rules_of(WRITE))
    assert {resource for _, resource, verb in rights if verb == "patch"} == {k.plural for k in APPLICABLE.values()}
    assert {resource for _, resource, verb in rights if verb == "delete"} == {k.plural for k in DELETABLE.values()}
    replaced = {resource for _, resource, verb in rights if verb == "update"}
    assert replaced == {kind.plural for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, NODE)}
    assert {resource for _, resource, verb in rights if verb == "list"} == {BUDGET.plural}
    assert not [right for right in rights if "*" in right or right[1] in ("secrets", "roles", "pods/exec")]
