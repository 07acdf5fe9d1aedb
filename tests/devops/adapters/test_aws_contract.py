"""What an AWS account promises, against moto's server."""

import asyncio
import socketserver
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from common.errors import AppError, Conflict, InvalidInput, NotFound, RateLimited, Unavailable
from common.observability.traces import Traces
from common.resilience.deadline import deadline
from common.security.principal import Principal, current_principal
from devops.adapters.aws_errors import refusal
from devops.adapters.aws_session import Acting, AwsSession, session_name
from devops.cloud.ports import Watched
from devops.cloud.settings import AwsAccount
from devops.kinds import EC2_INSTANCE, ECS_SERVICE
from devops.ports import Manifest
from tests.support.cloud import GROUP, REGION, Account, Opened, new_account, own_keys


@pytest.fixture
async def opened(aws_url: str) -> AsyncIterator[Opened]:
    with own_keys():
        account = new_account(aws_url)
        session = account.session()
        yield Opened(account, session)
        await session.close()


async def test_instances_come_page_by_page_and_by_state_and_name(opened: Opened) -> None:
    ids = {opened.account.instance(f"web-{number}", team="shop") for number in range(7)}
    first = await opened.reader.instances(None, None, 5, None)
    rest = await opened.reader.instances(None, None, 5, first.token)
    assert len(first.items) == 5 and rest.token is None
    assert {each.id for each in (*first.items, *rest.items)} == ids
    [one] = (await opened.reader.instances(None, "web-3", 5, None)).items
    assert (one.state, one.type, one.tags) == ("running", "t3.micro", {"Name": "web-3", "team": "shop"})
    assert one.zone.startswith(REGION) and one.launched.endswith("Z")
    opened.account.turn(one.id, "stop")
    assert [each.id for each in (await opened.reader.instances("stopped", None, 5, None)).items] == [one.id]


async def test_services_of_every_cluster_with_their_rollout(opened: Opened) -> None:
    opened.account.service("web", "shop", 4)
    opened.account.service("jobs", "back", 1)
    assert await opened.reader.ecs_clusters() == ["back", "shop"]
    [one] = (await opened.reader.services("shop", 50, None)).items
    assert (one.name, one.desired, one.task_definition, one.rollout) == ("web", 4, "web:1", "IN_PROGRESS")
    with pytest.raises(NotFound):
        await opened.reader.services("nothing", 50, None)


async def test_each_call_is_a_step_of_the_request_that_makes_it(opened: Opened) -> None:
    session = opened.account.session(60.0)
    with Traces().recorded("request-1", "server", "list_services") as trace:
        await session.read("ecs", "list_clusters")
    await session.close()
    assert [(each.layer, each.name, each.outcome) for each in trace.steps] == [("cloud", "ecs list_clusters", "ok")]


async def test_alarms_and_those_that_fire(opened: Opened) -> None:
    opened.account.alarm("calm")
    opened.account.alarm("busy", "cpu is 97", firing=True)
    assert {each.name for each in (await opened.reader.alarms(False, 50, None)).items} == {"busy", "calm"}
    [one] = (await opened.reader.alarms(True, 50, None)).items
    assert (one.name, one.state, one.reason) == ("busy", "ALARM", "cpu is 97")
    assert one.watches == "AWS/EC2 CPUUtilization GreaterThan 90.0" and one.about["InstanceId"].startswith("i-")


async def test_metrics_of_an_instance_oldest_first(opened: Opened) -> None:
    instance = opened.account.instance()
    opened.account.metric(instance, [10.0, 20.0, 30.0])
    points = await opened.reader.series("cpu", Watched(instance), 60)
    assert [value for _, value in points] == [10.0, 20.0, 30.0]
    assert points == sorted(points) and points[-1][0] <= time.time()
    assert await opened.reader.series("cpu", Watched(None, "shop", "web"), 60) == []


async def test_the_newest_lines_of_a_log_group(opened: Opened) -> None:
    opened.account.log(*(f"line {number}" for number in range(5)))
    assert await opened.reader.log_groups(50) == [GROUP]
    whole, few = [await opened.reader.log_lines(GROUP, 60, tail) for tail in (5, 2)]
    assert [line.text for line in whole.items] == [f"line {number}" for number in range(5)] and whole.complete
    assert [line.text for line in few.items] == ["line 3", "line 4"] and not few.complete
    with pytest.raises(NotFound):
        await opened.reader.log_lines("/nothing", 60, 5)


async def test_aws_sees_who_asked(opened: Opened) -> None:
    token = current_principal.set(Principal("Olga Ögren <olga@fernhill.example>", "local"))
    try:
        olga = (await opened.session.read("sts", "get_caller_identity"))["Arn"]
        current_principal.set(Principal("amir", "local"))
        amir = (await opened.session.read("sts", "get_caller_identity"))["Arn"]
    finally:
        current_principal.reset(token)
    assert "/Olga--gren--olga@fernhill.example-." in olga and "/amir." in amir


def test_two_callers_never_share_a_session() -> None:
    names = [session_name(subject) for subject in ("a b", "a-b", "a\nb", "x" * 300, "x" * 301, "")]
    assert len(set(names)) == len(names)
    assert all(2 <= len(name) <= 64 and name.isascii() and "\n" not in name for name in names)


# Writing


async def live(opened: Opened, instance: str) -> Manifest:
    found = await opened.target.read(EC2_INSTANCE, REGION, instance)
    assert found is not None
    return found


def turned(item: Manifest, **spec: str) -> Manifest:
    return {**item, "spec": {**item["spec"], **spec}}


async def test_a_dry_run_changes_nothing_and_the_write_does(opened: Opened) -> None:
    instance = opened.account.instance()
    wanted = turned(await live(opened, instance), state="stopped")
    assert (await opened.target.replace(wanted, dry_run=True))["spec"]["state"] == "stopped"
    assert opened.account.state(instance) == "running"
    assert (await opened.target.replace(wanted, dry_run=False))["spec"]["state"] == "stopped"
    assert opened.account.state(instance) == "stopped"
    await opened.target.replace(turned(await live(opened, instance), state="running"), dry_run=False)
    assert opened.account.state(instance) == "running"
    rebooted = turned(await live(opened, instance), rebootedAt="2026-11-23T06:00:00Z")
    assert (await opened.target.replace(rebooted, dry_run=False))["spec"]["state"] == "running"


@pytest.mark.parametrize("dry_run", [True, False])
async def test_another_state_than_the_one_seen_is_a_conflict(opened: Opened, dry_run: bool) -> None:
    instance = opened.account.instance()
    seen = await live(opened, instance)
    opened.account.turn(instance, "stop")
    with pytest.raises(Conflict):
        await opened.target.replace(turned(seen, rebootedAt="now"), dry_run)
    assert opened.account.state(instance) == "stopped"
    other = {**seen, "metadata": {**(await live(opened, instance))["metadata"], "uid": "another"}}
    with pytest.raises(Conflict):
        await opened.target.replace(turned(other, state="running"), dry_run)
    assert opened.account.state(instance) == "stopped"


async def test_a_service_is_updated_in_what_differs(opened: Opened) -> None:
    opened.account.service()
    seen = await opened.target.read(ECS_SERVICE, "shop", "web")
    assert seen is not None and seen["spec"]["containers"] == [{"name": "app", "image": "registry.example/web:1"}]
    wanted = {**seen, "spec": {**seen["spec"], "replicas": 6, "taskDefinition": "web:2"}}
    planned = await opened.target.replace(wanted, dry_run=True)
    assert planned["spec"]["containers"][0]["image"] == "registry.example/web:2"
    assert opened.account.desired() == (4, "web:1")
    after = await opened.target.replace(wanted, dry_run=False)
    assert opened.account.desired() == (6, "web:2") and after["spec"]["replicas"] == 6
    with pytest.raises(Conflict):
        await opened.target.replace(wanted, dry_run=False)
    again = await opened.target.read(ECS_SERVICE, "shop", "web")
    assert again is not None
    with pytest.raises(NotFound, match="no task definition"):
        await opened.target.replace({**again, "spec": {**again["spec"], "taskDefinition": "web:9"}}, dry_run=True)
    fresh = await opened.target.replace({**again, "spec": {**again["spec"], "redeployedAt": "now"}}, dry_run=False)
    assert fresh["spec"]["deployment"] != again["spec"]["deployment"]


async def test_what_is_not_there_or_elsewhere_is_none(opened: Opened) -> None:
    instance = opened.account.instance()
    assert await opened.target.read(EC2_INSTANCE, "us-east-1", instance) is None
    assert await opened.target.read(EC2_INSTANCE, REGION, "i-0123456789abcdef0") is None
    assert await opened.target.read(ECS_SERVICE, "nothing", "web") is None
    opened.account.client("ec2").terminate_instances(InstanceIds=[instance])
    assert await opened.target.read(EC2_INSTANCE, REGION, instance) is None


async def test_nothing_else_can_be_done_to_an_account(opened: Opened) -> None:
    target = opened.target
    assert await target.related(EC2_INSTANCE, REGION) == []
    for call in (
        target.create({}, True),
        target.apply({}, True),
        target.evict("a", "b", "c", True),
        target.delete(EC2_INSTANCE, REGION, "i-0", "1", "2", True),
    ):
        with pytest.raises(InvalidInput):
            await call


# Failure


@contextmanager
def silent() -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes requests and never answers, and what it has been sent."""
    taken: list[bytes] = []
    over = threading.Event()

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            taken.append(self.request.recv(65_536))
            over.wait(10)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", taken
        finally:
            over.set()
            server.shutdown()


async def test_a_call_ends_with_its_callers_time_and_a_write_is_sent_once() -> None:
    with own_keys(), silent() as (url, taken):
        session = AwsSession("silent", AwsAccount(region=REGION), url, 0.5)
        await asyncio.to_thread(session._client, "", "ec2", time.monotonic() + 60)
        with pytest.raises(Unavailable):
            await session.write("ec2", "reboot_instances", InstanceIds=["i-0123456789abcdef0"])
        await session.close()
        await asyncio.to_thread(session._threads.shutdown, wait=True)
        assert len([request for request in taken if request]) == 1
        patient = AwsSession("silent", AwsAccount(region=REGION), url, 30.0)
        started = time.monotonic()
        with pytest.raises(AppError):
            async with deadline(0.2):
                await patient.read("ec2", "describe_instances")
        assert time.monotonic() - started < 5.0
        await patient.close()


async def test_what_waited_for_too_long_is_not_sent() -> None:
    with own_keys(), silent() as (url, taken):
        session = AwsSession("silent", AwsAccount(region=REGION), url, 5.0)
        with pytest.raises(Unavailable):
            session._blocking("", "ec2", "reboot_instances", True, {"InstanceIds": ["i-0"]}, time.monotonic() - 1)
        assert not taken
        await session.close()


async def test_a_caller_whose_role_takes_long_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    session = AwsSession("shop", AwsAccount(region=REGION), None, 5.0)
    asked, over = threading.Event(), threading.Event()

    def assumed(who: str) -> Acting:
        if who == "slow":
            asked.set()
            over.wait(20)
        return Acting({})

    monkeypatch.setattr(session, "_assumed", assumed)
    ends_at = time.monotonic() + 60
    slow = asyncio.create_task(asyncio.to_thread(session._acting, "slow", ends_at))
    assert await asyncio.to_thread(asked.wait, 20)
    await asyncio.to_thread(session._acting, "quick", ends_at)
    assert not slow.done()
    over.set()
    assert await slow is session._people["slow"]
    await session.close()


def test_what_aws_refuses_is_told_without_its_internals() -> None:
    def answer(code: str, status: int = 400, message: str = "") -> AppError:
        response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return refusal("shop", "ec2:StopInstances", response)

    denied = answer("UnauthorizedOperation", 403, "arn:aws:sts::1:assumed-role Encoded authorization failure")
    assert denied.code == "denied" and "ec2:StopInstances" in str(denied) and "arn:" not in str(denied)
    assert isinstance(answer("IncorrectInstanceState"), Conflict)
    assert isinstance(answer("RequestLimitExceeded", 503), RateLimited)
    assert isinstance(answer("ExpiredToken"), Unavailable) and isinstance(answer("InternalError", 500), Unavailable)
    told = answer("InvalidParameterException", 400, "password=hunter2 \u202eis bad")
    assert isinstance(told, InvalidInput) and "hunter2" not in str(told) and "\u202e" not in str(told)


async def test_a_role_that_cannot_be_assumed_is_said_so() -> None:
    with own_keys():
        nowhere = AwsSession("shop", AwsAccount(region=REGION), "http://127.0.0.1:9", 30.0)
        with pytest.raises(Unavailable, match="cannot be reached"):
            await nowhere.read("ec2", "describe_instances")
        await nowhere.close()


def test_an_account_of_moto_is_its_own(aws_url: str) -> None:
    with own_keys():
        one, other = Account(aws_url, "arn:aws:iam::111111111111:role/a"), new_account(aws_url)
        instance = one.instance()
        found = other.client("ec2").describe_instances()["Reservations"]
        assert not [each for group in found for each in group["Instances"] if each["InstanceId"] == instance]
