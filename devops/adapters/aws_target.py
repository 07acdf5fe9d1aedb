"""The writing half of an AWS account, as changes need it: instances and services as objects with a version.

AWS has no precondition of its own. What was seen is compared right before the one request that changes something;
between the two there are milliseconds, and what these requests do twice is what they do once, but for a reboot.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import Conflict, InvalidInput, NotFound
from devops.adapters.aws_account import last, primary, tags_of
from devops.adapters.aws_session import AwsSession
from devops.changes.digest import digest_of
from devops.kinds import EC2_INSTANCE, ECS_SERVICE, Kind
from devops.ports import Manifest

GONE = ("terminated", "shutting-down")
LABELS = ("Name", "aws:autoscaling:groupName")
"""Tags that are part of what is approved."""


class AwsTarget:
    """Implements ChangeTarget, for the two kinds that changes know here."""

    simulated = False

    def __init__(self, session: AwsSession) -> None:
        self.name = session.name
        self._session = session

    async def read(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None:
        """See ChangeTarget."""
        try:
            if kind is EC2_INSTANCE and namespace == self._session.region:
                return await self._instance(name)
            if kind is ECS_SERVICE and namespace:
                return await self._service(namespace, name)
        except NotFound:
            pass
        return None

    async def related(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Sequence[Manifest]:
        """See ChangeTarget."""
        return []

    async def replace(self, item: Manifest, dry_run: bool) -> Manifest:
        """See ChangeTarget. A dry run of EC2 is AWS's own; ECS has none, so only what it names is looked up."""
        metadata = item["metadata"]
        live = await self.read(_kind(item), metadata["namespace"], metadata["name"])
        if live is None:
            raise NotFound(f"There is no {metadata['name']} in {self.name}.", "The lists have what is there.")
        for precondition in ("uid", "resourceVersion"):
            if live["metadata"][precondition] != metadata.get(precondition):
                raise Conflict(f"{metadata['name']} has changed meanwhile.", "Read its state again.")
        if item["kind"] == EC2_INSTANCE.name:
            return await self._change_instance(item, live, dry_run)
        return await self._change_service(item, live, dry_run)

    async def create(self, item: Manifest, dry_run: bool) -> Manifest:
        """See ChangeTarget."""
        raise _impossible()

    async def apply(self, item: Manifest, dry_run: bool) -> Manifest:
        """See ChangeTarget."""
        raise _impossible()

    async def delete(
        self, kind: Kind, namespace: str | None, name: str, resource_version: str, uid: str, dry_run: bool
    ) -> None:
        """See ChangeTarget."""
        raise _impossible()

    async def evict(self, namespace: str, pod: str, uid: str, dry_run: bool) -> None:
        """See ChangeTarget."""
        raise _impossible()

    async def _instance(self, name: str) -> Manifest | None:
        answer = await self._session.read("ec2", "describe_instances", InstanceIds=[name])
        found = [(group, each) for group in answer["Reservations"] for each in group["Instances"]]
        if not found or found[0][1]["State"]["Name"] in GONE:
            return None
        group, item = found[0]
        spec = {
            "state": item["State"]["Name"],
            "type": item.get("InstanceType"),
            # Two moments that tell whether it was started or stopped in between.
            "launched": str(item.get("LaunchTime")),
            "lastTransition": item.get("StateTransitionReason") or "",
        }
        labels = {key: value for key, value in tags_of(item).items() if key in LABELS}
        return self._manifest(EC2_INSTANCE, name, self._session.region, [group.get("OwnerId"), name], labels, spec, {})

    async def _service(self, cluster: str, name: str) -> Manifest | None:
        answer = await self._session.read("ecs", "describe_services", cluster=cluster, services=[name])
        found = [each for each in answer["services"] if each.get("status") != "INACTIVE"]
        if not found:
            return None
        item = found[0]
        deployment = primary(item)
        definition = last(item["taskDefinition"])
        spec = {
            "replicas": int(item["desiredCount"]),
            "taskDefinition": definition,
            "deployment": deployment.get("id", ""),
            "scheduling": item.get("schedulingStrategy") or "REPLICA",
            "containers": await self._containers(definition),
        }
        status = {
            "status": item.get("status"),
            "runningCount": item.get("runningCount"),
            "pendingCount": item.get("pendingCount"),
            "rollout": deployment.get("rolloutState"),
        }
        identity = [item["serviceArn"], str(item.get("createdAt"))]
        return self._manifest(ECS_SERVICE, name, cluster, identity, {}, spec, status)

    async def _containers(self, definition: str) -> list[dict[str, str]]:
        """Names and images; a revision never changes."""
        answer = await self._session.read("ecs", "describe_task_definition", taskDefinition=definition)
        containers = answer["taskDefinition"]["containerDefinitions"]
        return [{"name": each["name"], "image": each.get("image", "")} for each in containers]

    def _manifest(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        identity: list[Any],
        labels: Mapping[str, str],
        spec: dict[str, Any],
        status: dict[str, Any],
    ) -> Manifest:
        metadata = {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "uid": digest_of(identity)[:32],
            "resourceVersion": digest_of(spec)[:32],
        }
        return {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": metadata,
            "spec": spec,
            "status": {key: value for key, value in status.items() if value is not None},
        }

    async def _change_instance(self, item: Manifest, live: Manifest, dry_run: bool) -> Manifest:
        name, spec = item["metadata"]["name"], item["spec"]
        if "rebootedAt" in spec:
            action = "reboot_instances"
        else:
            action = {"running": "start_instances", "stopped": "stop_instances"}[spec["state"]]
        await self._session.write("ec2", action, InstanceIds=[name], DryRun=dry_run)
        return item if dry_run else await self._afterwards(EC2_INSTANCE, item)

    async def _change_service(self, item: Manifest, live: Manifest, dry_run: bool) -> Manifest:
        wanted, now, asked = item["spec"], live["spec"], dict[str, Any]()
        if wanted["replicas"] != now["replicas"]:
            asked["desiredCount"] = wanted["replicas"]
        if wanted["taskDefinition"] != now["taskDefinition"]:
            asked["taskDefinition"] = wanted["taskDefinition"]
        if "redeployedAt" in wanted:
            asked["forceNewDeployment"] = True
        if dry_run:
            return {**item, "spec": {**wanted, "containers": await self._planned(wanted["taskDefinition"])}}
        names = {"cluster": item["metadata"]["namespace"], "service": item["metadata"]["name"]}
        await self._session.write("ecs", "update_service", **names, **asked)
        return await self._afterwards(ECS_SERVICE, item)

    async def _planned(self, definition: str) -> list[dict[str, str]]:
        try:
            return await self._containers(definition)
        except (InvalidInput, NotFound):
            raise NotFound(
                f"There is no task definition {definition}.", "Give family:revision as ECS has it."
            ) from None

    async def _afterwards(self, kind: Kind, item: Manifest) -> Manifest:
        """As AWS shows it after it has accepted the request; if it cannot be read, as it was sent."""
        try:
            seen = await self.read(kind, item["metadata"]["namespace"], item["metadata"]["name"])
        except Exception:
            return item  # what was accepted is accepted
        return seen or item


def _kind(item: Manifest) -> Kind:
    return EC2_INSTANCE if item["kind"] == EC2_INSTANCE.name else ECS_SERVICE


def _impossible() -> InvalidInput:
    return InvalidInput("That cannot be done to an AWS account here.", "Instances and services can be changed.")
