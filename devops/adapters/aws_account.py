"""The reading half of an AWS account: EC2, ECS, CloudWatch and its logs."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from common.errors import NotFound
from devops.adapters.aws_session import AwsSession
from devops.cloud.ports import (
    Alarm,
    CloudLine,
    CloudLines,
    CloudMetric,
    Instance,
    InstanceState,
    Page,
    Service,
    Watched,
)

LEAST = 5
"""EC2 has no smaller pages."""
DESCRIBED = 10
"""Services that ECS describes at once."""
MAX_PAGES = 5
POINTS = 60
INSTANCE_METRICS: dict[str, tuple[str, str, str]] = {
    "cpu": ("AWS/EC2", "CPUUtilization", "Average"),
    "network_received": ("AWS/EC2", "NetworkIn", "Sum"),
    "network_sent": ("AWS/EC2", "NetworkOut", "Sum"),
    "status_check_failed": ("AWS/EC2", "StatusCheckFailed", "Maximum"),
}
SERVICE_METRICS: dict[str, tuple[str, str, str]] = {
    "cpu": ("AWS/ECS", "CPUUtilization", "Average"),
    "memory": ("AWS/ECS", "MemoryUtilization", "Average"),
    "running_tasks": ("ECS/ContainerInsights", "RunningTaskCount", "Average"),
}


class AwsAccountReader:
    """Implements CloudAccount."""

    def __init__(self, session: AwsSession) -> None:
        self.name = session.name
        self.region = session.region
        self._session = session

    async def instances(
        self, state: InstanceState | None, name: str | None, limit: int, token: str | None
    ) -> Page[Instance]:
        """See CloudAccount."""
        filters = []
        if state:
            filters.append({"Name": "instance-state-name", "Values": [state]})
        if name:
            filters.append({"Name": "tag:Name", "Values": [name]})
        more = {"NextToken": token} if token else {}
        answer = await self._session.read(
            "ec2", "describe_instances", Filters=filters, MaxResults=max(LEAST, limit), **more
        )
        found = [_instance(each) for group in answer["Reservations"] for each in group["Instances"]]
        return Page(found, answer.get("NextToken"))

    async def instance(self, instance: str) -> Instance:
        """See CloudAccount."""
        answer = await self._session.read("ec2", "describe_instances", InstanceIds=[instance])
        found = [_instance(each) for group in answer["Reservations"] for each in group["Instances"]]
        if not found:
            raise NotFound(f"There is no instance {instance} in {self.name}.", "list_instances has them.")
        return found[0]

    async def ecs_clusters(self) -> Sequence[str]:
        """See CloudAccount."""
        found: list[str] = []
        token: str | None = None
        for _ in range(MAX_PAGES):
            more = {"nextToken": token} if token else {}
            answer = await self._session.read("ecs", "list_clusters", maxResults=100, **more)
            found += [last(arn) for arn in answer["clusterArns"]]
            if (token := answer.get("nextToken")) is None:
                break
        return sorted(found)

    async def services(self, ecs_cluster: str, limit: int, token: str | None) -> Page[Service]:
        """See CloudAccount."""
        more = {"nextToken": token} if token else {}
        listed = await self._session.read("ecs", "list_services", cluster=ecs_cluster, maxResults=limit, **more)
        arns = listed["serviceArns"]
        found: list[Service] = []
        for start in range(0, len(arns), DESCRIBED):
            some = arns[start : start + DESCRIBED]
            answer = await self._session.read("ecs", "describe_services", cluster=ecs_cluster, services=some)
            found += [_service(ecs_cluster, each) for each in answer["services"]]
        return Page(found, listed.get("nextToken"))

    async def service(self, ecs_cluster: str, name: str) -> Service:
        """See CloudAccount."""
        answer = await self._session.read("ecs", "describe_services", cluster=ecs_cluster, services=[name])
        if not answer["services"]:
            raise NotFound(f"There is no service {name} in {ecs_cluster} of {self.name}.", "list_services has them.")
        return _service(ecs_cluster, answer["services"][0])

    async def alarms(self, firing: bool, limit: int, token: str | None) -> Page[Alarm]:
        """See CloudAccount."""
        asked: dict[str, Any] = {"MaxRecords": limit, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}
        if firing:
            asked["StateValue"] = "ALARM"
        if token:
            asked["NextToken"] = token
        answer = await self._session.read("cloudwatch", "describe_alarms", **asked)
        found = [*answer.get("MetricAlarms", []), *answer.get("CompositeAlarms", [])]
        return Page([_alarm(each) for each in found], answer.get("NextToken"))

    async def series(self, metric: CloudMetric, of: Watched, minutes: int) -> Sequence[tuple[float, float]]:
        """See CloudAccount."""
        space, name, statistic = (INSTANCE_METRICS if of.instance else SERVICE_METRICS)[metric]
        # Whole minutes: CloudWatch takes periods of nothing else.
        period = max(60, (minutes * 60 // POINTS + 59) // 60 * 60)
        end = datetime.now(UTC)
        what = {"Namespace": space, "MetricName": name, "Dimensions": _dimensions(of)}
        query = {"Id": "value", "MetricStat": {"Metric": what, "Period": period, "Stat": statistic}}
        answer = await self._session.read(
            "cloudwatch",
            "get_metric_data",
            MetricDataQueries=[query],
            StartTime=end - timedelta(minutes=minutes),
            EndTime=end,
            ScanBy="TimestampAscending",
        )
        [found] = answer["MetricDataResults"]
        return [(at.timestamp(), value) for at, value in zip(found["Timestamps"], found["Values"], strict=True)]

    async def log_groups(self, limit: int) -> Sequence[str]:
        """See CloudAccount."""
        answer = await self._session.read("logs", "describe_log_groups", limit=limit)
        return [each["logGroupName"] for each in answer["logGroups"]]

    async def log_lines(self, group: str, minutes: int, tail: int) -> CloudLines:
        """See CloudAccount. AWS gives them oldest first, a page at a time, so the last ones are kept."""
        start = int((time.time() - minutes * 60) * 1000)
        kept: list[CloudLine] = []
        token: str | None = None
        cut = False
        for _ in range(MAX_PAGES):
            more = {"nextToken": token} if token else {}
            answer = await self._session.read("logs", "filter_log_events", logGroupName=group, startTime=start, **more)
            kept += [_line(each) for each in answer["events"]]
            cut = cut or len(kept) > tail
            kept = kept[-tail:]
            if (token := answer.get("nextToken")) is None:
                break
        return CloudLines(kept, complete=not cut and token is None)


def last(arn: str) -> str:
    """The name at the end of an ARN."""
    return arn.rpartition("/")[2]


def tags_of(item: Mapping[str, Any]) -> dict[str, str]:
    """Tags as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags") or []}


def primary(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """The deployment that is being rolled out or runs."""
    deployments: Sequence[Mapping[str, Any]] = service.get("deployments") or []
    return next((each for each in deployments if each.get("status") == "PRIMARY"), {})


def _instance(item: Mapping[str, Any]) -> Instance:
    return Instance(
        id=item["InstanceId"],
        state=item["State"]["Name"],
        type=item.get("InstanceType", ""),
        zone=(item.get("Placement") or {}).get("AvailabilityZone", ""),
        private_address=item.get("PrivateIpAddress") or "",
        launched=_time(item.get("LaunchTime")),
        tags=tags_of(item),
    )


def _service(cluster: str, item: Mapping[str, Any]) -> Service:
    deployment = primary(item)
    return Service(
        cluster=cluster,
        name=item["serviceName"],
        status=item.get("status", ""),
        desired=int(item.get("desiredCount") or 0),
        running=int(item.get("runningCount") or 0),
        pending=int(item.get("pendingCount") or 0),
        task_definition=last(item.get("taskDefinition") or ""),
        launch_type=item.get("launchType") or "",
        rollout=deployment.get("rolloutState") or "",
        reason=deployment.get("rolloutStateReason") or "",
    )


def _alarm(item: Mapping[str, Any]) -> Alarm:
    about = {each["Name"]: each["Value"] for each in item.get("Dimensions") or []}
    watches = item.get("AlarmRule") or ""
    if "MetricName" in item:
        comparison = item.get("ComparisonOperator", "").removesuffix("Threshold")
        watches = f"{item.get('Namespace')} {item['MetricName']} {comparison} {item.get('Threshold')}"
    since = _time(item.get("StateUpdatedTimestamp"))
    return Alarm(item["AlarmName"], item.get("StateValue", ""), item.get("StateReason") or "", since, watches, about)


def _dimensions(of: Watched) -> list[dict[str, str]]:
    if of.instance:
        return [{"Name": "InstanceId", "Value": of.instance}]
    return [
        {"Name": "ClusterName", "Value": of.ecs_cluster or ""},
        {"Name": "ServiceName", "Value": of.service or ""},
    ]


def _line(event: Mapping[str, Any]) -> CloudLine:
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
    return CloudLine(at.replace("+00:00", "Z"), event.get("logStreamName", ""), event.get("message", ""))


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
