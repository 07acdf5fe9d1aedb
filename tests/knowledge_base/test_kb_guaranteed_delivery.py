"""1,000 documents over four workers, one of which is killed every two seconds; Redis loses all, the index goes away."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.services.elasticsearch import ElasticsearchNode
from tests.services.redis import Restartable
from tests.support.delivery import Outage, deliver

AWAY_SECONDS = 10.0
Backend = Callable[[], AbstractContextManager[tuple[dict[str, str], Outage | None]]]


@contextmanager
def embedded() -> Iterator[tuple[dict[str, str], Outage | None]]:
    """An index in files does not go away."""
    yield {}, None


@contextmanager
def elasticsearch() -> Iterator[tuple[dict[str, str], Outage | None]]:
    """A node of this test's own, which answers nobody for ten seconds."""
    with tempfile.TemporaryDirectory(prefix="elasticsearch-") as folder:
        node = ElasticsearchNode(Path(folder))

        async def away() -> None:
            os.kill(node.process.pid, signal.SIGSTOP)
            await asyncio.sleep(AWAY_SECONDS)
            os.kill(node.process.pid, signal.SIGCONT)

        try:
            settings = {"KB_ELASTICSEARCH_URL": node.ready(), "KB_ELASTICSEARCH_TIMEOUT_SECONDS": "3"}
            yield {**settings, "KB_INDEX": "elasticsearch"}, away
        finally:
            os.kill(node.process.pid, signal.SIGCONT)
            node.stop()


@pytest.mark.slow
@pytest.mark.parametrize("backend", [embedded, elasticsearch], ids=lambda backend: backend.__name__)
async def test_every_document_is_searchable_exactly_once(
    backend: Backend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Restartable() as redis, backend() as (settings, outage):
        story = await deliver(tmp_path, redis, 1000, settings, outage)
    with capsys.disabled():
        print(f"\n{backend.__name__}: {story}")  # noqa: T201 - the counts are the point
    assert story.problems == []
    assert story.counts["searchable exactly once in the last version"] == 1000
    assert story.counts["workers killed with -9"] >= 4 and story.counts["Redis emptied and restarted"] == 1
    assert story.counts["taken over from a dead worker"] > 0 and story.counts["dead letters"] == 0
    assert story.counts["outages of the index"] == (outage is not None)
