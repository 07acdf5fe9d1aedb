"""One suite for every cluster behind the ports: the simulated one keeps the promises of the real API server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import InvalidInput, NotFound
from common.observability.traces import Traces
from devops.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, NAMESPACE, NODE, POD, REPLICA_SET, SECRET, Kind
from devops.pods import container_statuses, is_ready, pod_status
from devops.ports import LogQuery, Manifest, Query
from tests.support.clusters import Place, real, simulated, until

HASTE = 100.0
"""Simulated containers write a line every 15 s of their clock."""


@pytest.fixture(params=["simulated", "real"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        if request.param == "simulated":
            yield await stack.enter_async_context(simulated(tmp_path, HASTE))
        else:
            folder = request.getfixturevalue("kubernetes_folder")
            yield await stack.enter_async_context(real(folder))


BEHAVIOURS = {
    "runs": "Running",
    "crashes": "CrashLoopBackOff",
    "out-of-memory": "CrashLoopBackOff",
    "image-missing": "ImagePullBackOff",
    "not-ready": "Running",
}


async def test_pods_fare_as_their_behaviour_says(place: Place) -> None:
    for behaviour in BEHAVIOURS:
        await place.deploy(behaviour, 1, "" if behaviour == "runs" else behaviour)
    for behaviour, status in BEHAVIOURS.items():
        [pod] = await place.pods(1, app=behaviour)
        assert (pod_status(pod), is_ready(pod)) == (status, behaviour == "runs")
        [container] = container_statuses(pod)
        ended = container.get("lastState", {}).get("terminated", {}).get("reason")
        assert ended == {"crashes": "Error", "out-of-memory": "OOMKilled"}.get(behaviour)


async def test_the_table_says_what_the_objects_say(place: Place) -> None:
    await place.deploy("works", 3)
    await place.deploy("crashes", 2, "crashes")
    await place.pods(5)
    rows = (await place.cluster.table(POD, Query(place.namespace))).items
    pods = {pod["metadata"]["name"]: pod for pod in await place.pods(5)}
    assert [row.name for row in rows] == sorted(pods)
    for row in rows:
        pod = pods[row.name]
        assert row.namespace == place.namespace and row.labels == pod["metadata"]["labels"]
        assert row.created == pod["metadata"]["creationTimestamp"]
        assert (row.cells["status"], row.cells["ready"]) == (pod_status(pod), f"{int(is_ready(pod))}/1")
        assert row.cells["node"] == pod["spec"]["nodeName"]
    assert {str(row.cells["restarts"]).split(" ")[0] for row in rows} >= {"0"}

    async def available() -> bool:
        cells = {row.name: row.cells for row in (await place.cluster.table(DEPLOYMENT, Query(place.namespace))).items}
        works, crashes = cells["works"], cells["crashes"]
        assert (works["images"], works["containers"]) == ("example.com/app:1", "app")
        return bool((works["ready"], crashes["ready"], works["up-to-date"]) == ("3/3", "0/2", 3))

    assert await until(available)
    [node, *_] = (await place.cluster.table(NODE, Query())).items
    assert node.cells["status"].startswith("Ready")


async def test_each_question_is_a_step_of_the_request_that_asks(place: Place) -> None:
    with Traces().recorded("request-1", "server", "diagnose") as trace:
        await place.cluster.table(POD, Query(place.namespace))
        await place.cluster.objects(DEPLOYMENT, Query(place.namespace))
        with pytest.raises(NotFound):
            await place.cluster.get(POD, place.namespace, "nothing")
    named = [(each.layer, each.name.removesuffix(", simulated"), each.outcome) for each in trace.steps]
    assert named == [
        ("cluster", "list pods", "ok"),
        ("cluster", "list deployments.apps", "ok"),
        ("cluster", "get pods", "not_found"),
    ]
    assert all(each.name.endswith("simulated") == place.cluster.simulated for each in trace.steps)


@pytest.mark.parametrize("kind", [POD, REPLICA_SET])
async def test_pages_join_to_the_whole(place: Place, kind: Kind) -> None:
    for name in ("a", "b", "c"):
        await place.deploy(name, 2)
    await place.pods(6)
    whole = [row.name for row in (await place.cluster.table(kind, Query(place.namespace))).items]
    joined: list[str] = []
    token = None
    while True:
        page = await place.cluster.table(kind, Query(place.namespace, limit=2, token=token))
        assert len(page.items) <= 2
        joined += [row.name for row in page.items]
        if (token := page.token) is None:
            break
    assert joined == whole and len(whole) == len(set(whole))
    objects = (await place.cluster.objects(kind, Query(place.namespace))).items
    assert [item["metadata"]["name"] for item in objects] == whole
    assert {(item["kind"], item["apiVersion"]) for item in objects} == {(kind.name, kind.api_version)}


async def test_labels_fields_and_hidden_namespaces_are_part_of_the_question(place: Place) -> None:
    await place.deploy("a", 2)
    await place.deploy("b", 1)
    [first, *_] = await place.pods(3)
    labelled = await place.cluster.table(POD, Query(place.namespace, {"app": "a"}))
    assert {row.labels["app"] for row in labelled.items} == {"a"}
    name = first["metadata"]["name"]
    named = await place.cluster.table(POD, Query(place.namespace, fields={"metadata.name": name}))
    assert [row.name for row in named.items] == [name]
    names = {row.name for row in (await place.cluster.table(NAMESPACE, Query(limit=500))).items}
    hidden = frozenset(names - {place.namespace})
    # A page of one, so that rows which were taken out afterwards would leave it empty.
    page = await place.cluster.table(POD, Query(None, hidden=hidden, limit=1))
    assert [row.namespace for row in page.items] == [place.namespace]


async def test_owners_lead_from_the_pod_to_the_deployment(place: Place) -> None:
    await place.deploy("a", 1)
    [pod] = await place.pods(1)
    [reference] = pod["metadata"]["ownerReferences"]
    replica_set = await place.cluster.get(REPLICA_SET, place.namespace, reference["name"])
    [above] = replica_set["metadata"]["ownerReferences"]
    revision = "deployment.kubernetes.io/revision"

    async def numbered() -> Manifest | None:
        # The deployment is numbered after its pods were made.
        found = await place.cluster.get(DEPLOYMENT, place.namespace, "a")
        return found if revision in found["metadata"].get("annotations", {}) else None

    deployment = await until(numbered)
    assert (above["name"], above["uid"]) == ("a", deployment["metadata"]["uid"])
    assert replica_set["metadata"]["annotations"][revision] == "1" == deployment["metadata"]["annotations"][revision]


async def test_events_name_what_they_are_about(place: Place) -> None:
    await place.deploy("a", 1, "crashes")
    [pod] = await place.pods(1)
    about = {"involvedObject.name": pod["metadata"]["name"], "involvedObject.kind": "Pod"}

    async def told() -> bool:
        events = (await place.cluster.objects(EVENT, Query(place.namespace, fields=about))).items
        assert {event["involvedObject"]["name"] for event in events} <= {pod["metadata"]["name"]}
        return {"Scheduled", "BackOff"} <= {event["reason"] for event in events}

    assert await until(told)


async def test_what_is_not_there_is_not_found(place: Place) -> None:
    with pytest.raises(NotFound):
        await place.cluster.get(POD, place.namespace, "nothing")
    with pytest.raises(NotFound):
        await place.cluster.logs(LogQuery(place.namespace, "nothing", "app", 10, 1000))
    with pytest.raises(InvalidInput):
        await place.cluster.table(POD, Query(place.namespace, token="gibberish"))
    assert (await place.cluster.table(POD, Query("no-such-namespace"))).items == []


async def test_the_values_of_a_secret_stay_inside(place: Place) -> None:
    metadata = {"name": "login", "namespace": place.namespace}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"password": "Y2FuYXJ5"}}
    await place.create(body)
    await place.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}})
    one = await place.cluster.get(SECRET, place.namespace, "login")
    many = (await place.cluster.objects(SECRET, Query(place.namespace))).items
    assert "Y2FuYXJ5" not in str([one, many]) and one["data"] == {"password": "[redacted]"}
    assert (await place.cluster.get(CONFIG_MAP, place.namespace, "login"))["data"] == {"a": "b"}


async def test_a_container_without_lines_has_none(place: Place) -> None:
    await place.deploy("a", 1, "image-missing")
    [pod] = await place.pods(1)
    query = LogQuery(place.namespace, pod["metadata"]["name"], "app", 10, 1000, previous=True)
    assert await place.cluster.logs(query) == ""


async def test_what_happens_after_a_list_is_watched_without_a_gap(place: Place) -> None:
    await place.deploy("a", 1)
    await place.pods(1)
    version = (await place.cluster.objects(POD, Query(place.namespace, limit=1))).version
    # Between list and watch: it must not be missed.
    await place.deploy("b", 2)
    seen: dict[str, str] = {}
    versions: list[int] = []
    asked = False
    async with aclosing(place.cluster.watch(POD, Query(place.namespace), version)) as watched, asyncio.timeout(40):
        async for pod in watched:
            seen[pod["metadata"]["name"]] = pod["metadata"]["labels"]["app"]
            versions.append(int(pod["metadata"]["resourceVersion"]))
            if len(seen) == 2 and not asked:
                asked = True
                await place.deploy("c", 1)
            if "c" in seen.values():
                break
    assert sorted(seen.values()).count("b") == 2 and versions == sorted(versions)
    assert min(versions) > int(version)


async def test_events_are_watched_with_the_question_of_the_lists(place: Place) -> None:
    version = (await place.cluster.objects(EVENT, Query(place.namespace, limit=1))).version
    await place.deploy("quiet", 1)
    await place.deploy("loud", 1, "crashes")
    warnings = Query(place.namespace, fields={"type": "Warning"})
    async with aclosing(place.cluster.watch(EVENT, warnings, version)) as watched, asyncio.timeout(40):
        event = await anext(watched)
    assert event["type"] == "Warning" and event["involvedObject"]["name"].startswith("loud-")


async def test_a_log_is_followed_from_where_the_reading_of_it_ended(place: Place) -> None:
    await place.deploy("a", 1)
    [pod] = await place.pods(1)
    await place.write("one", "two")
    all_lines = LogQuery(place.namespace, pod["metadata"]["name"], "app", None, 100_000)

    async def written() -> str | None:
        return await place.cluster.logs(all_lines) or None

    before = (await until(written)).splitlines()
    since = replace(all_lines, since_time=before[-1].split(" ")[0][:19] + "Z")
    live: list[str] = []
    async with aclosing(place.cluster.follow_log(since)) as lines, asyncio.timeout(20):
        live.append(await anext(lines))
        await place.write("three", "four")
        while not live[-1].endswith("four") and (place.log or len(live) < 4):
            live.append(await anext(lines))
    after = (await place.cluster.logs(since)).splitlines()
    assert before[-1] in live and live == after[: len(live)]
    async with aclosing(place.cluster.follow_log(replace(all_lines, tail=1))) as lines, asyncio.timeout(20):
        last = await anext(lines)
    assert last >= live[-1]


async def test_a_log_that_is_not_there_cannot_be_followed(place: Place) -> None:
    with pytest.raises(NotFound):
        await anext(place.cluster.follow_log(LogQuery(place.namespace, "nothing", "app", None, 0)))
