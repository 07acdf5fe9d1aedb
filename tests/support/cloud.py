"""AWS accounts of moto's server, each new and of its own, and what runs in them."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from unittest.mock import patch

from devops.adapters.aws_account import AwsAccountReader
from devops.adapters.aws_session import AwsSession
from devops.adapters.aws_target import AwsTarget
from devops.cloud.settings import AwsAccount

REGION = "eu-west-1"
NAME = "shop-prod"
GROUP = "/ecs/web"
KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
IMAGE = "ami-12c6146b"


@dataclass
class Account:
    """A new account, by a role that is assumed; `do` acts in it as somebody else than the server."""

    url: str
    role_arn: str
    name: str = NAME
    region: str = REGION

    def __post_init__(self) -> None:
        given = self._made("sts").assume_role(RoleArn=self.role_arn, RoleSessionName="somebody-else")["Credentials"]
        self._keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._made(service, *self._keys)
        return self._clients[service]

    def _made(self, service: str, *keys: str) -> Any:
        given = keys or ("test", "test")
        names = dict(zip(KEYS, given, strict=False))
        return _session().client(service, region_name=self.region, endpoint_url=self.url, **names)

    @property
    def setting(self) -> dict[str, Any]:
        """As DEVOPS_AWS_ACCOUNTS has it."""
        return {"region": self.region, "role_arn": self.role_arn, "external_id": "triptych-1"}

    @property
    def settings(self) -> dict[str, Any]:
        """DEVOPS_* of a server that sees it."""
        return {"aws": "on", "aws_endpoint_url": self.url, "aws_accounts": {self.name: self.setting}}

    def environment(self, **more: Any) -> dict[str, str]:
        """The same as environment; `more` are further accounts."""
        accounts = {self.name: self.setting, **more}
        return {
            "DEVOPS_AWS": "on",
            "DEVOPS_AWS_ENDPOINT_URL": self.url,
            "DEVOPS_AWS_ACCOUNTS": json.dumps(accounts),
        }

    def session(self, timeout: float = 10.0) -> AwsSession:
        return AwsSession(self.name, AwsAccount(**self.setting), self.url, timeout)

    # What runs there

    def instance(self, name: str = "web-1", **tags: str) -> str:
        """The id of a new instance that runs."""
        marks = [{"Key": key, "Value": value} for key, value in {"Name": name, **tags}.items()]
        made = self.client("ec2").run_instances(
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.micro",
            TagSpecifications=[{"ResourceType": "instance", "Tags": marks}],
        )
        return str(made["Instances"][0]["InstanceId"])

    def state(self, instance: str) -> str:
        found = self.client("ec2").describe_instances(InstanceIds=[instance])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

    def turn(self, instance: str, action: str) -> None:
        """Start or stop it, as somebody else would."""
        getattr(self.client("ec2"), f"{action}_instances")(InstanceIds=[instance])

    def service(self, name: str = "web", ecs_cluster: str = "shop", desired: int = 4) -> str:
        """A new service; its task definition has the revisions 1 and 2."""
        ecs = self.client("ecs")
        ecs.create_cluster(clusterName=ecs_cluster)
        for version in ("1", "2"):
            containers = [{"name": "app", "image": f"registry.example/{name}:{version}", "memory": 64}]
            ecs.register_task_definition(family=name, containerDefinitions=containers)
        ecs.create_service(
            cluster=ecs_cluster, serviceName=name, taskDefinition=f"{name}:1", desiredCount=desired, launchType="EC2"
        )
        return name

    def has_service(self, name: str = "web", ecs_cluster: str = "shop") -> bool:
        ecs = self.client("ecs")
        listed = ecs.list_clusters()["clusterArns"]
        if not any(arn.endswith(f"/{ecs_cluster}") for arn in listed):
            return False
        return bool(ecs.describe_services(cluster=ecs_cluster, services=[name])["services"])

    def desired(self, name: str = "web", ecs_cluster: str = "shop") -> tuple[int, str]:
        """Tasks, and the task definition."""
        [found] = self.client("ecs").describe_services(cluster=ecs_cluster, services=[name])["services"]
        return found["desiredCount"], found["taskDefinition"].rpartition("/")[2]

    def alarm(self, name: str, reason: str = "", firing: bool = False) -> None:
        watch = self.client("cloudwatch")
        watch.put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/EC2",
            MetricName="CPUUtilization",
            Dimensions=[{"Name": "InstanceId", "Value": "i-0123456789abcdef0"}],
            ComparisonOperator="GreaterThanThreshold",
            Threshold=90.0,
            EvaluationPeriods=1,
            Period=60,
            Statistic="Average",
        )
        watch.set_alarm_state(AlarmName=name, StateValue="ALARM" if firing else "OK", StateReason=reason or "calm")

    def metric(self, instance: str, values: list[float]) -> None:
        """Processor use, one value a minute until now."""
        now = datetime.now(UTC)
        data = [
            {
                "MetricName": "CPUUtilization",
                "Dimensions": [{"Name": "InstanceId", "Value": instance}],
                "Timestamp": now - timedelta(minutes=len(values) - number),
                "Value": value,
            }
            for number, value in enumerate(values)
        ]
        self.client("cloudwatch").put_metric_data(Namespace="AWS/EC2", MetricData=data)

    def log(self, *messages: str, group: str = GROUP) -> None:
        logs, now = self.client("logs"), int(datetime.now(UTC).timestamp() * 1000)
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="app/1")
        events = [{"timestamp": now - 1000 + number, "message": text} for number, text in enumerate(messages)]
        logs.put_log_events(logGroupName=group, logStreamName="app/1", logEvents=events)


@cache
def _session() -> Any:
    import boto3

    return boto3.Session()


@dataclass
class Opened:
    """The adapters of one account."""

    account: Account
    session: AwsSession

    @property
    def reader(self) -> AwsAccountReader:
        return AwsAccountReader(self.session)

    @property
    def target(self) -> AwsTarget:
        return AwsTarget(self.session)


@contextmanager
def own_keys() -> Iterator[None]:
    """What a pod's role would be: keys that AWS's own chain finds."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    with patch.dict(os.environ, keys):
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            os.environ.pop(name, None)
        yield


def new_account(url: str, name: str = NAME, region: str = REGION) -> Account:
    """Nothing is in it yet."""
    number = "".join(secrets.choice("123456789") for _ in range(12))
    return Account(url, f"arn:aws:iam::{number}:role/triptych", name, region)
