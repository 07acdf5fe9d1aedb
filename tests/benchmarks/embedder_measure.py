"""How fast so many worker processes make documents searchable whose vectors come from a server."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.jobs import new_batch
from common.security.access import Access, AccessScope
from common.settings import CommonSettings, load_settings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.bootstrap_embedder import build_embedder
from knowledge_base.chunking import chunk, embedding_text
from knowledge_base.documents import NewDocument
from knowledge_base.settings import KnowledgeBaseSettings
from tests.benchmarks.collection import Abstract
from tests.benchmarks.result import percentile

OPERATOR = AccessScope("bench", "operator", clearance="restricted")
GROUP = 20
"""Documents that are handed in at once."""
START_SECONDS = 60.0


@dataclass(frozen=True)
class Speed:
    """Of one number of workers; times in milliseconds, as the embedder's server saw them."""

    workers: int
    documents: int
    seconds: float
    requests: int
    texts: int
    p50: float
    p99: float

    @property
    def texts_per_second(self) -> float:
        return self.texts / self.seconds


@contextmanager
def embedder(kind: str, log: Path) -> Iterator[str]:
    """URL of an embedder in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.embedder_server", kind]
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as server:
        try:
            assert server.stdout is not None
            if not (url := server.stdout.readline().decode().strip()):
                raise RuntimeError(f"the embedder did not start: {log.read_text()[-500:]}")
            yield url
        finally:
            server.terminate()


def took(url: str) -> list[tuple[float, int]]:
    """Seconds and texts of each request since the last time."""
    with urllib.request.urlopen(f"{url}/took", timeout=10) as answer:  # noqa: S310 - our own loopback URL
        found: list[tuple[float, int]] = json.load(answer)
    return found


def documents(abstracts: Sequence[Abstract], count: int) -> list[NewDocument]:
    """Each with a text of its own."""
    return [
        NewDocument("bench", each.id, f"{each.id}.txt", each.text.encode(), Access("public"), each.title)
        for each in [each for each in abstracts if each.text][:count]
    ]


async def alone(url: str, wanted: Sequence[NewDocument]) -> Speed:
    """The embedder as one caller meets it who has nothing else to do."""
    settings = KnowledgeBaseSettings(embedder="http", embedder_url=f"{url}/v1")
    client = build_embedder(CommonSettings(), settings)
    texts = [embedding_text(str(each.title), part) for each in wanted for part in chunk(each.data.decode())]
    await client.embed(["wake up"])
    took(url)
    started = time.perf_counter()
    try:
        await client.embed(texts)
    finally:
        await client.close()
    return _speed(0, len(wanted), time.perf_counter() - started, took(url))


async def worked(
    folder: Path, url: str, index: Mapping[str, str], wanted: Sequence[NewDocument], workers: int
) -> Speed:
    """From the first document that is handed in until all are searchable; the workers are ready by then."""
    environment = {
        **os.environ,
        **index,
        "TRIPTYCH_DATA_DIR": str(folder),
        "KB_EMBEDDER": "http",
        "KB_EMBEDDER_URL": f"{url}/v1",
    }
    os.environ |= {name: environment[name] for name in (*index, "KB_EMBEDDER", "KB_EMBEDDER_URL")}
    knowledge_base = build_knowledge_base(CommonSettings(data_dir=folder), load_settings(KnowledgeBaseSettings))
    async with opened(knowledge_base, work=False):
        await knowledge_base.index.warm()
        with _running(workers, folder, environment):
            took(url)
            started = time.perf_counter()
            await _hand_in(knowledge_base, wanted)
            while await knowledge_base.queue.pending():
                await asyncio.sleep(0.05)
            seconds = time.perf_counter() - started
        if (dead := (await knowledge_base.queue.depth()).dead) or not await knowledge_base.index.count():
            raise RuntimeError(f"{dead} documents were given up")
    return _speed(workers, len(wanted), seconds, took(url))


async def _hand_in(knowledge_base: KnowledgeBase, wanted: Sequence[NewDocument]) -> None:
    for place in range(0, len(wanted), GROUP):
        group = wanted[place : place + GROUP]
        for answer in await knowledge_base.library.add_all(group, OPERATOR, new_batch(), operator=True):
            if isinstance(answer, Exception):
                raise answer


@contextmanager
def _running(workers: int, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    command = [sys.executable, "-m", "infra.cli", "worker", "knowledge-base"]
    logs = [folder / f"worker-{number}.log" for number in range(workers)]
    processes = []
    try:
        for log in logs:
            with log.open("wb") as output:
                processes.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
        end = time.monotonic() + START_SECONDS
        while not all(b"ready" in log.read_bytes() for log in logs):
            if time.monotonic() > end or any(process.poll() is not None for process in processes):
                raise RuntimeError(f"the workers did not start: {logs[0].read_text()[-500:]}")
            time.sleep(0.1)
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def _speed(workers: int, count: int, seconds: float, requests: Sequence[tuple[float, int]]) -> Speed:
    times = [1000 * each for each, _ in requests]
    texts = sum(texts for _, texts in requests)
    return Speed(workers, count, seconds, len(requests), texts, percentile(times, 0.5), percentile(times, 0.99))
