from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Unavailable
from common.resilience.breaker import Breaker, BreakerLimits

LIMITS = BreakerLimits(
    window=10, least_calls=4, bad_share=0.5, slow_after=1.0, open_for=8.0, open_at_most=20.0, trials=2
)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def call(breaker: Breaker, failed: bool = False, seconds: float = 0.0) -> None:
    breaker.record(breaker.admit(), failed, seconds)


def opened(clock: Clock) -> Breaker:
    breaker = Breaker("shop", LIMITS, clock)
    for _ in range(4):
        call(breaker, failed=True)
    return breaker


def test_it_opens_when_half_of_the_calls_fail() -> None:
    breaker = Breaker("shop", LIMITS, Clock())
    for failed in (False, False, True):
        call(breaker, failed)
    assert breaker.state == "closed"
    call(breaker, failed=True)
    with pytest.raises(Unavailable, match="shop does not answer"):
        breaker.admit()


def test_few_calls_say_nothing() -> None:
    breaker = Breaker("shop", LIMITS, Clock())
    for _ in range(3):
        call(breaker, failed=True)
    assert breaker.state == "closed"


def test_slow_calls_count_as_failed() -> None:
    breaker = Breaker("shop", LIMITS, Clock())
    for _ in range(4):
        call(breaker, seconds=1.5)
    assert breaker.state == "open"


def test_old_calls_are_forgotten() -> None:
    breaker = Breaker("shop", LIMITS, Clock())
    for failed in [False] * 4 + [True] * 3 + [False] * 10 + [True] * 4:
        call(breaker, failed)
    assert breaker.state == "closed"


def test_it_lets_a_few_calls_through_on_trial_and_closes_when_all_are_good() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 8
    assert str(breaker.state) == "half-open"
    tickets = [breaker.admit(), breaker.admit()]
    with pytest.raises(Unavailable):
        breaker.admit()
    for ticket in tickets:
        breaker.record(ticket, False, 0.1)
    assert str(breaker.state) == "closed"


def test_a_bad_trial_opens_it_for_longer_and_there_is_a_longest_time() -> None:
    clock = Clock()
    breaker = opened(clock)
    waits = []
    for _ in range(4):
        with pytest.raises(Unavailable) as told:
            breaker.admit()
        waits.append(told.value.retry_after or 0)
        clock.now += 20
        call(breaker, failed=True)
    assert 6.4 <= waits[0] <= 8 and 12.8 <= waits[1] <= 16 and 16 <= waits[3] <= 20


def test_it_closes_after_an_outage_of_days() -> None:
    clock = Clock()
    breaker = opened(clock)
    for _ in range(1100):
        clock.now += 20
        call(breaker, failed=True)
    clock.now += 20
    for _ in range(LIMITS.trials):
        call(breaker)
    assert breaker.state == "closed"


def test_a_trial_that_was_given_up_makes_room_for_another() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 8
    for _ in range(5):
        breaker.forget(breaker.admit())
    assert breaker.admit()


def test_calls_from_before_it_opened_do_not_count_as_trials() -> None:
    clock = Clock()
    breaker = Breaker("shop", LIMITS, clock)
    early = breaker.admit()
    for _ in range(4):
        call(breaker, failed=True)
    clock.now += 8
    breaker.record(early, True, 0.1)
    assert breaker.state == "half-open"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 30), st.booleans()), max_size=60))
def test_it_never_locks_up(steps: list[tuple[bool, float, bool]]) -> None:
    clock = Clock()
    breaker = Breaker("shop", LIMITS, clock)
    for failed, later, given_up in steps:
        clock.now += later
        try:
            ticket = breaker.admit()
        except Unavailable as error:
            assert error.retry_after and error.retry_after <= LIMITS.open_at_most
            continue
        if given_up:
            breaker.forget(ticket)
        else:
            breaker.record(ticket, failed, 0.0)
    clock.now += LIMITS.open_at_most
    for _ in range(LIMITS.trials):
        call(breaker)
    assert breaker.state == "closed" or not any(failed for failed, _, _ in steps)
