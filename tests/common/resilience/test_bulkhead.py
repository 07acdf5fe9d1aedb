"""The bulkhead lets so many through, makes so many wait, and refuses the rest."""

import asyncio

import pytest

from common.errors import Unavailable
from common.resilience.bulkhead import Bulkhead


async def hold(bulkhead: Bulkhead, until: asyncio.Event) -> None:
    async with bulkhead:
        await until.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_places_are_handed_over_in_order() -> None:
    bulkhead, end = Bulkhead("kb", limit=2, queue=1, queue_seconds=10), asyncio.Event()
    running = [asyncio.create_task(hold(bulkhead, end)) for _ in range(3)]
    await settle()
    assert (bulkhead.running, bulkhead.waiting) == (2, 1)
    with pytest.raises(Unavailable, match=r"kb has as many calls as it can take\. Retry in 1\.0 s"):
        async with bulkhead:
            pass
    end.set()
    await asyncio.gather(*running)
    assert (bulkhead.running, bulkhead.waiting) == (0, 0)


async def test_who_waits_too_long_is_refused_and_takes_no_place() -> None:
    bulkhead, end = Bulkhead("kb", limit=1, queue=5, queue_seconds=0.01), asyncio.Event()
    running = asyncio.create_task(hold(bulkhead, end))
    await settle()
    with pytest.raises(Unavailable):
        await hold(bulkhead, end)
    assert (bulkhead.running, bulkhead.waiting) == (1, 0)
    end.set()
    await running
    assert bulkhead.running == 0


async def test_who_gives_up_while_waiting_leaves_the_queue() -> None:
    bulkhead, end = Bulkhead("kb", limit=1, queue=5, queue_seconds=10), asyncio.Event()
    running, waiting = (asyncio.create_task(hold(bulkhead, end)) for _ in range(2))
    await settle()
    waiting.cancel()
    await settle()
    assert bulkhead.waiting == 0
    end.set()
    await running
    assert bulkhead.running == 0


async def test_a_place_that_comes_to_somebody_who_just_left_goes_on() -> None:
    bulkhead, end = Bulkhead("kb", limit=1, queue=5, queue_seconds=10), asyncio.Event()
    first, second, third = (asyncio.create_task(hold(bulkhead, end)) for _ in range(3))
    await settle()
    first.cancel()  # hands its place to the second, which leaves before it has noticed
    await asyncio.sleep(0)
    second.cancel()
    await settle()
    assert (bulkhead.running, bulkhead.waiting) == (1, 0)
    end.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert bulkhead.running == 0
