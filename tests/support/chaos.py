"""Ingests and updates while processes are killed at random; then everything is looked at."""

import asyncio
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import NotFound
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.chunking import chunk
from knowledge_base.filters import Restriction
from tests.support.chaos_process import OPERATOR, READER, knowledge_base_in, operations, text_of

ROOT = Path(__file__).parents[2]


@dataclass
class Story:
    """What happened. `versions` are those that were accepted, with the edition that each must have."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    versions: dict[tuple[int, int], int] = field(default_factory=dict)


async def run_chaos(folder: Path, count: int, seed: int) -> Story:
    """`count` documents and updates; whoever accepts or works is killed again and again, and started again."""
    story, chance = Story(), random.Random(seed)  # noqa: S311 - not a secret
    reader = await _start("read", folder, count)
    looking = asyncio.create_task(_watch(reader, story))
    working = asyncio.create_task(_killed_workers(folder, story, chance))
    try:
        await _killed_acceptors(folder, count, story, chance)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    await _finish(folder, count, story)
    assert reader.stdin is not None
    reader.stdin.close()
    await looking
    return story


async def _start(mode: str, folder: Path, *numbers: int) -> Process:
    command = [sys.executable, "-m", "tests.support.chaos_process", mode, str(folder), *map(str, numbers)]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        assert (await process.stdout.readline()).strip() == b"ready"
    except BaseException:
        await asyncio.shield(_kill(process))
        raise
    return process


async def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _watch(reader: Process, story: Story) -> None:
    assert reader.stdout is not None
    async for line in reader.stdout:
        kind, *words = line.decode().split()
        if kind == "problem":
            story.problems.append(" ".join(words))
        else:
            story.counts.update({name: int(value) for name, value in (word.split("=") for word in words)})
    await reader.wait()


async def _killed_workers(folder: Path, story: Story, chance: random.Random) -> None:
    while True:
        worker = await _start("work", folder)
        try:
            await asyncio.sleep(chance.uniform(0.1, 4.0))
        finally:
            await _kill(worker)
        story.counts["kills of workers"] += 1


async def _killed_acceptors(folder: Path, count: int, story: Story, chance: random.Random) -> None:
    """A killed one is replaced by one that begins with the operation that was not confirmed."""
    todo, done = operations(count), 0
    while done < len(todo):
        acceptor = await _start("accept", folder, count, done)
        assert acceptor.stdout is not None
        try:
            for _ in range(chance.randrange(5, max(6, len(todo) // 6))):
                if not (line := (await acceptor.stdout.readline()).split()):
                    break
                versions = map(int, line[2:])
                story.versions |= {(n, v): e for (n, e), v in zip(todo[done].editions, versions, strict=False)}
                done += 1
            await asyncio.sleep(chance.uniform(0, 0.02))
        finally:
            await _kill(acceptor)
        story.counts["kills of acceptors"] += done < len(todo)


async def _finish(folder: Path, count: int, story: Story) -> None:
    """Work until nothing is left, then compare with what was accepted."""
    async with knowledge_base_in(folder) as knowledge_base:
        async with asyncio.timeout(300):
            while await knowledge_base.queue.pending():
                if not await knowledge_base.worker.work_once():
                    await asyncio.sleep(0.05)
        todo = operations(count)
        gone = {of.editions[0][0]: of.kind for of in todo if of.kind != "add"}
        for (number, version), edition in story.versions.items():
            story.problems += await _verdict(knowledge_base, number, version, edition, gone.get(number, ""))
        for number in {number for number, _ in story.versions}:
            story.problems += await _is_whole(knowledge_base, number, gone.get(number, ""))
    story.counts["documents and updates"] = sum(len(of.editions) for of in todo if of.kind == "add")
    story.counts |= Counter({f"{kind}d": list(gone.values()).count(kind) for kind in ("revoke", "delete")})


async def _verdict(knowledge_base: KnowledgeBase, number: int, version: int, edition: int, gone: str) -> list[str]:
    for scope, visible in ((READER, not gone), (OPERATOR, gone != "delete")):
        try:
            text = (await knowledge_base.library.fetch(f"doc-{number}", scope, version)).text
        except NotFound:
            text = ""
        if text != (text_of(number, edition) if visible else ""):
            return [f"doc-{number} version {version} for {scope.subject}: {text[:60]!r}, {gone or 'accepted'}"]
    return []


async def _is_whole(knowledge_base: KnowledgeBase, number: int, gone: str) -> list[str]:
    """The index has the chunks of the current version, each once, and nothing of what was deleted."""
    found = await knowledge_base.index.search_text(f"kettle{number}", Restriction(OPERATOR), 100)
    mine = sorted((hit.version, hit.number) for hit in found if hit.document_id == f"doc-{number}")
    expected = []
    if gone != "delete":
        current = await knowledge_base.library.fetch(f"doc-{number}", OPERATOR)
        expected = [(current.version.version, part.number) for part in chunk(current.text)]
    shown = await knowledge_base.index.search_text(f"kettle{number}", Restriction(READER), 100)
    leaked = gone and any(hit.document_id == f"doc-{number}" for hit in shown)
    return [f"doc-{number}: chunks {mine}, expected {expected}, leaked: {leaked}"] if mine != expected or leaked else []
