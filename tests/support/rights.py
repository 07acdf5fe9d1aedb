"""Identities in the real control plane, with exactly the rights of a manifest."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from common.errors import Conflict
from devops.adapters.kubernetes_api import KubernetesApi
from devops.ports import Manifest
from tests.support.clusters import creator, fresh_name

RBAC = "/apis/rbac.authorization.k8s.io/v1"
METRICS = {"pods": ("PodMetrics", "Namespaced"), "nodes": ("NodeMetrics", "Cluster")}


def manifests(file: Path) -> list[Manifest]:
    """The documents of a YAML file."""
    return [item for item in yaml.safe_load_all(file.read_text()) if item]


def rules_of(file: Path) -> list[Manifest]:
    """The rules of the one ClusterRole in it."""
    [role] = [item for item in manifests(file) if item["kind"] == "ClusterRole"]
    rules: list[Manifest] = role["rules"]
    return rules


Right = tuple[str, str, str]
"""API group, resource, verb."""


def rights_of(rules: Sequence[Manifest]) -> set[Right]:
    """Every single right in them."""
    return {right for rule in rules for right in product(rule["apiGroups"], rule["resources"], rule["verbs"])}


def rules_without(rules: Sequence[Manifest], right: Right) -> list[Manifest]:
    """Rules for all the others."""
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
        for group, resource, verb in sorted(rights_of(rules) - {right})
    ]


@dataclass
class Account:
    """A service account with a role of its own, whose rules can be changed."""

    api: KubernetesApi
    name: str
    namespace: str
    user: str
    token: str
    _before: set[Right] = field(default_factory=set)

    async def allow(self, rules: Sequence[Manifest]) -> None:
        """Give it these rules and no others, and wait until the API server has noticed."""
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": self.name}}
        await self.api.request("PUT", f"{RBAC}/clusterroles/{self.name}", body={**role, "rules": list(rules)})
        wanted = rights_of(rules)
        async with asyncio.timeout(20):
            for group, resource, verb in sorted(wanted ^ self._before):
                while await self._may(group, resource, verb) != ((group, resource, verb) in wanted):
                    await asyncio.sleep(0.02)
        self._before = wanted

    async def _may(self, group: str, resource: str, verb: str) -> bool:
        name, _, sub = resource.partition("/")
        asked = {"group": group, "resource": name, "subresource": sub, "verb": verb, "namespace": self.namespace}
        spec = {"user": self.user, "groups": [], "resourceAttributes": asked}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
        return bool(json.loads(answer)["status"]["allowed"])


async def account(api: KubernetesApi, namespace: str, rules: Sequence[Manifest]) -> Account:
    """A new account that may do this."""
    create, name = creator(api), f"account-{fresh_name()}"
    user = f"system:serviceaccount:{namespace}:{name}"
    metadata = {"name": name}
    await create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**metadata, "namespace": namespace}})
    group = "rbac.authorization.k8s.io"
    await create({"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": []})
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    binding = {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": metadata}
    await create({**binding, "roleRef": reference, "subjects": [subject]})
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = json.loads(await api.request("POST", path, body=asked))["status"]["token"]
    made = Account(api, name, namespace, user, token)
    await made.allow(rules)
    return made


def kubeconfig_with(folder: Path, token: str, target: Path) -> Path:
    """The administrator's kubeconfig with another token in it."""
    document = json.loads((folder / "admin.kubeconfig").read_text())
    document["users"][0]["user"]["token"] = token
    target.write_text(json.dumps(document))
    return target


async def serve_metrics(api: KubernetesApi, usage: dict[str, Any]) -> None:
    """Let the API server serve metrics.k8s.io from custom resources, as metrics-server would."""
    for plural, (kind, scope) in METRICS.items():
        open_schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
        version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": open_schema}}
        spec = {"group": "metrics.k8s.io", "scope": scope, "names": names, "versions": [version]}
        metadata = {
            "name": f"{plural}.metrics.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes/metrics"},
        }
        body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata}
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        try:
            await api.request("POST", path, body={**body, "spec": spec})
        except Conflict:
            pass
    for path, item in usage.items():
        await _put_metrics(api, path, item)


async def _put_metrics(api: KubernetesApi, path: str, item: Manifest) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await api.request("POST", f"/apis/metrics.k8s.io/v1beta1{path}", body=item)
                return
            except Conflict:
                return
            except Exception:
                # The new kind is served a moment after it was made.
                await asyncio.sleep(0.1)
