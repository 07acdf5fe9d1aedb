"""The policies in infra/aws: all that the adapters call is in them, and nothing besides."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from devops.adapters import aws_account, aws_target
from devops.adapters.aws_session import AwsSession
from devops.cloud.ports import Watched
from devops.kinds import EC2_INSTANCE, ECS_SERVICE
from tests.support.cloud import REGION, Opened

FOLDER = Path(__file__).parents[3] / "infra" / "aws"
PREFIXES = {"monitoring": "cloudwatch"}
"""Where IAM calls a service otherwise than its requests are signed."""


def statements(name: str) -> list[dict[str, Any]]:
    document = json.loads((FOLDER / f"{name}.json").read_text())
    assert document["Version"] == "2012-10-17"
    found: list[dict[str, Any]] = document["Statement"]
    return found


def actions(name: str) -> list[str]:
    return [action for statement in statements(name) for action in statement["Action"]]


class Recorded:
    """What is asked of AWS, as IAM names it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        made = AwsSession._made

        def watched(session: AwsSession, keys: Any, service: str) -> Any:
            client = made(session, keys, service)

            def note(model: Any, **_: Any) -> None:
                prefix = model.service_model.signing_name
                self.asked.append(f"{PREFIXES.get(prefix, prefix)}:{model.name}")

            client.meta.events.register("before-call.*.*", note)
            return client

        monkeypatch.setattr(AwsSession, "_made", watched)


async def everything(opened: Opened) -> None:
    """Every method of the port and of the target once."""
    account, reader, target = opened.account, opened.reader, opened.target
    instance, service = account.instance(), account.service()
    account.log("x")
    await reader.instances(None, None, 5, None)
    for cluster in await reader.ecs_clusters():
        await reader.services(cluster, 5, None)
    await reader.alarms(False, 5, None)
    await reader.series("cpu", Watched(instance), 5)
    await reader.log_lines((await reader.log_groups(5))[0], 5, 5)
    for spec in ({"rebootedAt": "now"}, {"state": "stopped"}, {"state": "running"}):
        live = await target.read(EC2_INSTANCE, REGION, instance)
        assert live is not None
        for dry_run in (True, False):
            await target.replace({**live, "spec": {**live["spec"], **spec}}, dry_run)
    live = await target.read(ECS_SERVICE, "shop", service)
    assert live is not None
    for dry_run in (True, False):
        await target.replace({**live, "spec": {**live["spec"], "replicas": 9}}, dry_run)


async def test_the_policies_allow_what_is_called_and_nothing_besides(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(monkeypatch)
    await everything(opened)
    allowed = [*actions("read-only"), *actions("read-write"), *actions("assume-role")]
    assert set(recorded.asked) == set(allowed) and len(allowed) == len(set(allowed))
    # Every call of the source was made above, so none is missing from the policies.
    named = {action.partition(":")[2] for action in recorded.asked}
    assert called_in_source(opened) | {"AssumeRole"} == named


def called_in_source(opened: Opened) -> set[str]:
    """Every quoted word of the adapters that is a request of one of the services."""
    texts = [Path(str(module.__file__)).read_text() for module in (aws_account, aws_target)]
    words = {word for text in texts for word in re.findall(r'"([a-z_]+)"', text)}
    found: set[str] = set()
    for service in ("ec2", "ecs", "cloudwatch", "logs"):
        known = opened.account.client(service).meta.method_to_api_mapping
        found |= {known[word] for word in words & set(known)}
    return found


def test_nothing_is_allowed_by_a_pattern_and_writes_need_the_tag() -> None:
    for name in ("read-only", "read-write", "assume-role"):
        for statement in statements(name):
            assert statement["Effect"] == "Allow" and "NotAction" not in statement
            assert not [action for action in statement["Action"] if "*" in action]
    assert all(re.match(r"\w+:(Describe|Get|List|Filter)", action) for action in actions("read-only"))
    for statement in statements("read-write"):
        assert statement["Condition"] == {"StringEquals": {"aws:ResourceTag/triptych": "managed"}}
        assert statement["Resource"] != "*"


def test_the_role_is_taken_by_the_server_with_its_external_id_only() -> None:
    [statement] = statements("trust-policy")
    assert list(statement["Principal"]) == ["AWS"] and "*" not in statement["Principal"]["AWS"]
    assert statement["Condition"]["StringEquals"]["sts:ExternalId"]
