"""The kinds of objects that this server knows, of Kubernetes and of cloud accounts; no other can be named."""

import re
from dataclasses import dataclass

from common.errors import InvalidInput

_SEGMENT = re.compile(r"(?!.*\.\.)(?!\.$)[^\s/\\?#%]+")
"""One part of a path, whatever reads the path."""


@dataclass(frozen=True)
class Kind:
    """A kind, and where the API serves it."""

    name: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    @property
    def in_cloud(self) -> bool:
        """Of a cloud account, not of a cluster."""
        return self.group == CLOUD

    @property
    def resource(self) -> str:
        """As rights and `kubectl` word it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Path of the collection or the object. Raises InvalidInput for a name that would lead out of it."""
        parts = ["apis", self.group] if self.group else ["api"]
        parts.append(self.version)
        if self.namespaced and namespace is not None:
            parts += ["namespaces", _segment(namespace)]
        return "/" + "/".join([*parts, self.plural, *([_segment(name)] if name is not None else [])])


def _segment(name: str) -> str:
    if not _SEGMENT.fullmatch(name):
        raise InvalidInput("That is no name of Kubernetes.", "Give the name as it is listed.")
    return name


NAMESPACE = Kind("Namespace", "namespaces", namespaced=False)
NODE = Kind("Node", "nodes", namespaced=False)
POD = Kind("Pod", "pods")
EVENT = Kind("Event", "events")
CONFIG_MAP = Kind("ConfigMap", "configmaps")
SECRET = Kind("Secret", "secrets")
SERVICE = Kind("Service", "services")
SERVICE_ACCOUNT = Kind("ServiceAccount", "serviceaccounts")
VOLUME_CLAIM = Kind("PersistentVolumeClaim", "persistentvolumeclaims")
QUOTA = Kind("ResourceQuota", "resourcequotas")
DEPLOYMENT = Kind("Deployment", "deployments", "apps")
STATEFUL_SET = Kind("StatefulSet", "statefulsets", "apps")
DAEMON_SET = Kind("DaemonSet", "daemonsets", "apps")
REPLICA_SET = Kind("ReplicaSet", "replicasets", "apps")
JOB = Kind("Job", "jobs", "batch")
CRON_JOB = Kind("CronJob", "cronjobs", "batch")
BUDGET = Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy")
AUTOSCALER = Kind("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", "v2")
INGRESS = Kind("Ingress", "ingresses", "networking.k8s.io")
CLOUD = "aws"
EC2_INSTANCE = Kind("EC2Instance", "instances", CLOUD, "ec2")
"""Its namespace is the region."""
ECS_SERVICE = Kind("ECSService", "services", CLOUD, "ecs")
"""Its namespace is the ECS cluster."""

KINDS = {
    kind.name: kind
    for kind in (
        *(NAMESPACE, NODE, POD, EVENT, CONFIG_MAP, SECRET, SERVICE, SERVICE_ACCOUNT, VOLUME_CLAIM, QUOTA),
        *(DEPLOYMENT, STATEFUL_SET, DAEMON_SET, REPLICA_SET, JOB, CRON_JOB, BUDGET, AUTOSCALER, INGRESS),
        *(EC2_INSTANCE, ECS_SERVICE),
    )
}
WORKLOADS = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)
"""Kinds that run pods for a long time, in the order in which they are listed."""
