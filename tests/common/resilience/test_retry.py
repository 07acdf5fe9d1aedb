from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.resilience.retry import RetryBudget, RetryLimits, backoff, retry_after


@given(st.integers(1, 2000))
def test_backoff_is_bounded_and_doubles(attempt: int) -> None:
    limits = RetryLimits(first_wait=0.1, longest_wait=3.0)
    assert 0 <= backoff(attempt, limits) <= min(3.0, 0.1 * 2 ** min(attempt - 1, 20))


@given(st.lists(st.booleans(), max_size=300))
def test_retries_never_exceed_reserve_and_share(spends: list[bool]) -> None:
    limits = RetryLimits(budget_share=0.5, budget_reserve=3)
    budget = RetryBudget(limits)
    calls = spent = 0
    for spend in spends:
        if spend:
            spent += budget.spend()
        else:
            calls += 1
            budget.earn()
        assert spent <= 3 + calls * 0.5


def test_an_idle_time_does_not_save_up_retries() -> None:
    budget = RetryBudget(RetryLimits(budget_share=0.5, budget_reserve=3))
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        (formatdate(1060, usegmt=True), 60.0),
        (formatdate(900, usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("9" * 400, None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=lambda: 1000.0) == seconds
