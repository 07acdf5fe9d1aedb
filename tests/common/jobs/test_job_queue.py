"""What holds of every job queue, on real backends: nothing is lost, and nothing is tried for ever."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from common.databases import create_engine, read_write, sqlite_url
from common.jobs import Job, JobQueue, Retry
from common.jobs.sql import SqlJobQueue
from common.jobs.sql_table import enqueue, jobs

Enqueue = Callable[..., Awaitable[list[Job]]]
AT_ONCE = Retry(tries=3, max_lost=2, max_pause_seconds=0.0)


class Backend:
    """Makes queues over one store, for several workers; and jobs in it."""

    def __init__(self, queue: Callable[[str, float, Retry], JobQueue], enqueue: Enqueue) -> None:
        self._queue = queue
        self.enqueue = enqueue

    def queue(self, worker: str = "one", lease_seconds: float = 60.0, retry: Retry = AT_ONCE) -> JobQueue:
        return self._queue(worker, lease_seconds, retry)


async def sqlite(folder: Path) -> AsyncIterator[Backend]:
    engine = create_engine(sqlite_url(folder / "jobs.db"))
    async with read_write(engine).begin() as connection:
        await connection.run_sync(jobs.metadata.create_all)

    async def add(batch: str, *payloads: dict[str, Any], tenant: str = "acme", delay: float = 0.0) -> list[Job]:
        async with read_write(engine).begin() as connection:
            return await enqueue(connection, batch, tenant, "ada", payloads, delay)

    yield Backend(lambda worker, lease, retry: SqlJobQueue(engine, worker, lease, retry), add)
    await engine.dispose()


BACKENDS = {"sqlite": sqlite}


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    async for found in BACKENDS[request.param](tmp_path):
        yield found


def payloads(count: int, kind: str = "ingest") -> list[dict[str, Any]]:
    return [{"kind": kind, "document_id": f"d{number}"} for number in range(count)]


async def test_a_job_is_handed_to_one_worker_and_ends_once(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(3))
    one, two = backend.queue("one"), backend.queue("two")
    first, second = await one.claim(2), await two.claim(5)
    assert [len(first), len(second)] == [2, 1] and not {job.id for job in first} & {job.id for job in second}
    assert await one.claim(5) == []
    await one.finish(first)
    await two.finish(second)
    found = await one.progress("b")
    assert found and (found.state, found.done, found.ended, found.seconds_left) == ("finished", 3, 3, 0.0)
    assert found.rate > 0 and await one.pending() == 0 and await one.progress("nothing") is None


async def test_a_delayed_job_waits(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(1), delay=1000)
    assert await backend.queue().claim(5) == []
    depth = await backend.queue().depth()
    assert (depth.queued, depth.ready, depth.oldest_seconds) == (1, 0, 0.0)


async def test_what_lost_its_lease_is_taken_up_and_the_late_worker_changes_nothing(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(1))
    late, quick = backend.queue("late", lease_seconds=0.0), backend.queue("quick")
    [before] = await late.claim(1)
    [after] = await quick.claim(1)
    assert (before.id, before.attempt, after.attempt) == (after.id, 1, 2)
    await late.finish([before])
    await late.fail(before, "too late", retry=False)
    await late.release([before], "too late")
    await late.heartbeat([before])
    found = await quick.progress("b")
    assert found and found.ended == 0 and await backend.queue("third").claim(1) == []
    await quick.finish([after])
    await quick.fail(after, "after the end", retry=True)
    assert (await quick.depth()).waiting == 0 and await quick.dead_letters(None, 5) == []


async def test_a_heartbeat_keeps_a_job(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(1))
    claimed = await backend.queue("one", lease_seconds=0.0).claim(1)
    await backend.queue("one", lease_seconds=60.0).heartbeat(claimed)
    assert await backend.queue("two").claim(1) == []


async def test_after_the_last_try_it_is_a_dead_letter_and_may_be_replayed(backend: Backend) -> None:
    [added] = await backend.enqueue("b", *payloads(1))
    await backend.enqueue("c", *payloads(1), tenant="other")
    queue = backend.queue()
    for number in range(3):
        for job in await queue.claim(2):
            assert job.failures == number
            await queue.fail(job, f"It broke, {number}.", retry=True)
    assert await queue.claim(1) == [] and (await queue.depth()).dead == 2
    [letter] = await queue.dead_letters("acme", 10)
    assert (letter.job.id, letter.job.failures, letter.error) == (added.id, 3, "It broke, 2.")
    assert letter == await queue.dead_letter(added.id) and letter.at > 0
    assert len(await queue.dead_letters(None, 10)) == 2
    found = await queue.progress("b")
    assert found and (found.state, found.failed, found.errors[0]["error"]) == ("failed", 1, "It broke, 2.")
    assert [await queue.replay([added.id]), await queue.replay([added.id])] == [1, 0]
    [again] = await queue.claim(1)
    assert (again.id, again.failures, again.attempt) == (added.id, 0, 4)
    await queue.finish([again])
    assert await queue.dead_letter(added.id) is None


async def test_what_is_refused_for_good_is_no_dead_letter(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(1))
    queue = backend.queue()
    [job] = await queue.claim(1)
    await queue.fail(job, "It is damaged.", retry=False)
    await queue.record("b", "acme", "ada", {"document_id": "x"}, "failed", "Not a document.")
    await queue.record("b", "acme", "ada", {"document_id": "y"}, "done")
    found = await queue.progress("b")
    assert found and (found.failed, found.done, found.complete) == (2, 1, True)
    assert (await queue.depth()).dead == 0 and await queue.replay([job.id]) == 0


async def test_a_job_that_ends_one_worker_after_the_other_is_given_up(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(1))
    queue = backend.queue(lease_seconds=0.0)
    assert [len(await queue.claim(1)) for _ in range(5)] == [1, 1, 1, 0, 0], "two workers may be lost, not three"
    [letter] = await queue.dead_letters(None, 5)
    assert "3 workers" in letter.error


async def test_an_outage_counts_as_no_try(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(2))
    queue = backend.queue()
    for _ in range(10):
        await queue.release(await queue.claim(2), "The index does not answer.")
    assert [job.failures for job in await queue.claim(2)] == [0, 0]


async def test_pauses_grow_and_differ() -> None:
    retry = Retry(max_pause_seconds=60)
    pauses = [[retry.pause(failures) for _ in range(50)] for failures in range(1, 9)]
    for failures, found in enumerate(pauses, 1):
        middle = min(2.0**failures, 60)
        assert middle / 2 <= min(found) < max(found) <= middle * 1.5 and len(set(found)) > 10


async def test_a_retry_is_not_due_at_once(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(1))
    queue = backend.queue(retry=Retry())
    [job] = await queue.claim(1)
    await queue.fail(job, "It broke.", retry=True)
    assert await queue.claim(1) == [] and (await queue.depth()).queued == 1


async def test_cancelling_withdraws_what_nobody_has_begun(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(4), *payloads(1, kind="erase"))
    await backend.enqueue("c", *payloads(1))
    queue = backend.queue()
    begun = await queue.claim(2)
    assert await queue.cancel("b", "ingest") == 2 + sum(job.payload["kind"] == "erase" for job in begun)
    assert await queue.cancel("b", "ingest") == 0
    await queue.finish(begun)
    await queue.finish(await queue.claim(5))
    found = await queue.progress("b")
    assert found and found.state == "cancelled" and found.cancelled + found.done == 5 and found.complete
    other = await queue.progress("c")
    assert other and other.state == "finished"


async def test_the_newest_batches_come_first(backend: Backend) -> None:
    for batch in ("a", "b", "c"):
        await backend.enqueue(batch, *payloads(2))
    await backend.enqueue("d", *payloads(1), tenant="other")
    found = await backend.queue().newest("acme", "ada", 2)
    assert [(each.batch, each.total, each.state) for each in found] == [("c", 2, "queued"), ("b", 2, "queued")]
    assert await backend.queue().newest("acme", "eve", 5) == []


async def test_the_depth_tells_what_is_ready_and_for_how_long(backend: Backend) -> None:
    await backend.enqueue("b", *payloads(3))
    await backend.queue().claim(1)
    depth = await backend.queue().depth()
    assert (depth.queued, depth.running, depth.ready, depth.waiting) == (2, 1, 2, 3)
    assert 0 < depth.oldest_seconds < 30
