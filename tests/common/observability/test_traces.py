"""Steps of requests: what is kept, for whom, and how much of it."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Conflict
from common.observability.siblings import Siblings
from common.observability.traces import MAX_NAME, MAX_STEPS, Trace, Traces, step


def kept(traces: Traces, request_id: str = "request-1", tenant: str = "acme") -> Trace:
    [trace] = traces.of(request_id, tenant)
    return trace


async def test_steps_have_their_place_their_time_and_their_outcome() -> None:
    traces = Traces()
    with traces.recorded("request-1", "server", "list_pods") as trace:
        trace.tenant = "acme"
        with step("limits", "budget"):
            pass
        with step("cluster", "list pods"):
            with step("upstream", "token"):
                await asyncio.sleep(0.01)
        with pytest.raises(Conflict), step("cluster", "patch deployments"):
            raise Conflict("Somebody was faster.")
        with step("domain", "try") as taken:
            taken.outcome = "unavailable"
    found = kept(traces)
    assert [(each.layer, each.depth, each.outcome) for each in found.steps] == [
        ("limits", 0, "ok"),
        ("cluster", 0, "ok"),
        ("upstream", 1, "ok"),
        ("cluster", 0, "conflict"),
        ("domain", 0, "unavailable"),
    ]
    outer, inner = found.steps[1], found.steps[2]
    assert outer.seconds and inner.seconds and found.seconds
    assert found.seconds >= outer.seconds >= inner.seconds >= 0.009
    assert outer.started <= inner.started and (found.outcome, found.name) == ("ok", "list_pods")


async def test_steps_side_by_side_do_not_stand_in_each_other() -> None:
    traces, both = Traces(), asyncio.Barrier(2)

    async def ask(name: str) -> None:
        with step("cluster", name):
            await both.wait()
            with step("upstream", name):
                pass

    with traces.recorded("request-1", "server", "diagnose") as trace:
        trace.tenant = "acme"
        await asyncio.gather(ask("a"), ask("b"))
    assert sorted((each.name, each.depth) for each in kept(traces).steps) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


async def test_what_goes_on_after_a_request_is_no_part_of_it() -> None:
    traces, over = Traces(), asyncio.Event()

    async def later() -> None:
        with step("cluster", "began before"):
            await over.wait()
            with step("cluster", "began after"):
                pass

    with traces.recorded("request-1", "server", "follow_logs") as trace:
        trace.tenant = "acme"
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    over.set()
    await task
    assert [(each.name, each.seconds) for each in kept(traces).steps] == [("began before", None)]
    with step("cluster", "of nobody"):
        pass
    assert len(kept(traces).steps) == 1


async def test_what_fails_and_what_is_given_up_say_so() -> None:
    traces = Traces()
    for error, word in ((ValueError(), "error"), (TimeoutError(), "deadline_exceeded"), (Conflict("no"), "conflict")):
        with pytest.raises(type(error)), traces.recorded(word, "server", "x") as trace:
            trace.tenant = "acme"
            raise error
        assert kept(traces, word).outcome == word
    with pytest.raises(asyncio.CancelledError), traces.recorded("gone", "server", "x") as trace:
        trace.tenant, trace.outcome = "acme", "ok"
        raise asyncio.CancelledError
    assert kept(traces, "gone").outcome == "cancelled"


def test_a_request_is_seen_by_its_own_tenant_alone() -> None:
    traces = Traces()
    for tenant in ("acme", "globex", ""):
        with traces.recorded("same-id", "server", tenant or "nobody's") as trace:
            trace.tenant = tenant
    assert [each.name for each in traces.of("same-id", "acme")] == ["acme"]
    assert [each.name for each in traces.last("globex", 10)] == ["globex"]
    # Whoever has no tenant is not of one tenant with all others who have none.
    assert traces.of("same-id", "") == traces.last("", 10) == []


def test_a_request_of_very_many_steps_keeps_the_first_and_counts_the_others() -> None:
    traces = Traces()
    with traces.recorded("request-1", "server", "x" * 500) as trace:
        trace.tenant = "acme"
        for _ in range(MAX_STEPS + 7):
            with step("cluster", "y" * 500):
                pass
    found = kept(traces)
    assert (len(found.steps), found.left_out) == (MAX_STEPS, 7)
    assert len(found.name) == MAX_NAME == len(found.steps[0].name)


@given(st.lists(st.integers(min_value=0, max_value=40), max_size=60))
def test_memory_is_bounded_and_the_newest_stay(counts: list[int]) -> None:
    traces = Traces(most=10, most_bytes=20_000)
    for number, count in enumerate(counts):
        with traces.recorded(f"request-{number}", "server", "x") as trace:
            trace.tenant = "acme"
            for _ in range(count):
                with step("cluster", "list pods"):
                    pass
    last = traces.last("acme", 100)
    assert len(last) <= 10 and sum(each.size for each in last) <= 20_000
    newest = [f"request-{number}" for number in range(len(counts))][::-1]
    assert [each.request_id for each in last] == newest[: len(last)]
    assert last or not counts


async def test_whichever_worker_is_asked_knows_what_the_others_did(tmp_path: Path) -> None:
    async def nothing() -> bytes:
        return b""

    all_traces = [Traces(f"small-{slot}") for slot in range(3)]
    workers = [Siblings(tmp_path, slot, nothing, traces) for slot, traces in enumerate(all_traces)]
    for traces, worker in zip(all_traces, workers, strict=True):
        traces.others = worker.traces_of
        await worker.open()
        with traces.recorded("request-1", "server", traces.writer) as trace:
            trace.tenant = "acme"
            with step("cluster", "list pods"):
                pass
    await workers[2].close()
    (tmp_path / "2.sock").touch()  # as a killed worker leaves it
    found = await all_traces[1].everywhere("request-1", "acme")
    assert [each.name for each in found] == ["small-0", "small-1"]
    assert found[0] == all_traces[0].of("request-1", "acme")[0]
    assert await all_traces[1].everywhere("request-1", "globex") == []
    for worker in workers[:2]:
        await worker.close()
