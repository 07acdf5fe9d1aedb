"""The simulated platforms, started once for these tests."""

from collections.abc import Iterator

import pytest

from tests.support.crm import RunningSuite, running_suite


@pytest.fixture(scope="session")
def all_platforms() -> Iterator[RunningSuite]:
    with running_suite() as suite:
        yield suite


@pytest.fixture
def crm(all_platforms: RunningSuite) -> Iterator[RunningSuite]:
    """Without the faults, limits and counts of other tests."""
    all_platforms.restore()
    yield all_platforms
    all_platforms.restore()
