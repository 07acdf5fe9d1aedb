"""`python -m tests.support.chaos_process accept|work|read FOLDER [COUNT START]`: what is killed, and who looks on.

`accept` does the operations and prints the number of each that was done; `work` works; `read` searches and fetches all
the time and prints what it saw that it should not have seen, then what it did when its input ends.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.errors import NotFound
from common.jobs import new_batch
from common.security.access import Access, AccessScope
from common.settings import CommonSettings
from knowledge_base.bootstrap import KnowledgeBase, build_knowledge_base, opened
from knowledge_base.documents import NewDocument
from knowledge_base.settings import KnowledgeBaseSettings

OPERATOR = AccessScope("acme", "operator", clearance="restricted")
READER = AccessScope("acme", "pat")
LEASE_SECONDS = 2.0
SECTIONS = 3
SEED = 2


@dataclass(frozen=True)
class Operation:
    """One call: documents that are added together (number, edition), or one that is revoked or deleted."""

    kind: Literal["add", "revoke", "delete"]
    editions: tuple[tuple[int, int], ...]
    revoked: frozenset[int] = frozenset()
    """Documents that were revoked before, and stay so."""


def knowledge_base_in(folder: Path) -> AbstractAsyncContextManager[KnowledgeBase]:
    """Without what servers need: a process that is killed so often has to start fast."""
    return opened(build_knowledge_base(CommonSettings(data_dir=folder), KnowledgeBaseSettings()), work=False)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def operations(count: int) -> list[Operation]:
    """The same each time: `count` documents and updates, a fifth of the documents revoked, a fifth deleted."""
    chance = random.Random(SEED)  # noqa: S311 - not a secret
    editions: Counter[int] = Counter()
    gone: set[int] = set()
    revoked: set[int] = set()
    found: list[Operation] = []
    while (added := editions.total()) < count:
        numbers = {chance.randrange(max(5, count // 3)) for _ in range(chance.choice((1, 1, 1, 4)))} - gone
        numbers = set(sorted(numbers)[: count - added])
        editions.update(numbers)
        if numbers:
            found.append(Operation("add", tuple((n, editions[n]) for n in sorted(numbers)), frozenset(revoked)))
        for number in sorted(numbers):
            if number % 5 == 3 and editions[number] == 2:
                revoked.add(number)
                found.append(Operation("revoke", ((number, 2),)))
            if number % 5 == 2 and editions[number] == 2:
                gone.add(number)
                found.append(Operation("delete", ((number, 2),)))
    return found


def text_of(number: int, edition: int) -> str:
    """Several chunks, so that a document could be half there; each names its edition."""
    filler = " ".join(["Water boils, leaves unfold, and somebody pours."] * 7)
    parts = (f"## Part {part}\n\nKettle{number} of edition e{edition}. {filler}" for part in range(SECTIONS))
    return "\n\n".join(parts)


async def accept(folder: Path, count: int, start: int) -> None:
    async with knowledge_base_in(folder) as knowledge_base:
        say("ready")
        for place, operation in list(enumerate(operations(count)))[start:]:
            say("done", place, *await _do(knowledge_base, operation, folder))


async def _do(knowledge_base: KnowledgeBase, operation: Operation, folder: Path) -> Sequence[int]:
    """Versions of what was added. What is taken away is noted before (it need not be there) and after (it is not)."""
    access = {True: Access("internal"), False: Access("public")}
    if operation.kind == "add":
        items = [
            NewDocument("acme", f"doc-{n}", f"{n}.md", text_of(n, e).encode(), access[n in operation.revoked])
            for n, e in operation.editions
        ]
        added = await knowledge_base.library.add_all(items, OPERATOR, new_batch(), operator=True)
        return [answer.version if not isinstance(answer, Exception) else 0 for answer in added]
    document_id = f"doc-{operation.editions[0][0]}"
    (folder / f"going-{document_id}").touch()
    try:
        if operation.kind == "revoke":
            await knowledge_base.library.set_access(document_id, Access("internal"), OPERATOR)
        else:
            await knowledge_base.library.delete(document_id, OPERATOR)
    except NotFound:
        pass  # it was deleted just before the kill
    (folder / f"gone-{document_id}").touch()
    return []


async def work(folder: Path) -> None:
    async with knowledge_base_in(folder) as knowledge_base:
        knowledge_base.queue.lease_seconds = LEASE_SECONDS
        say("ready")
        await knowledge_base.worker.run(0.02)


async def read(folder: Path, count: int) -> None:
    did: Counter[str] = Counter()
    seen: dict[str, int] = {}
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    async with knowledge_base_in(folder) as knowledge_base:
        say("ready")
        while not ended.done():
            number = random.randrange(max(5, count // 3))  # noqa: S311 - not a secret
            for problem in await look(knowledge_base, folder, number, seen, did):
                say("problem", problem)
            await asyncio.sleep(0.02)
    say("read", *(f"{name}={value}" for name, value in sorted(did.items())))


async def look(
    knowledge_base: KnowledgeBase, folder: Path, number: int, seen: dict[str, int], did: Counter[str]
) -> list[str]:
    """What is wrong with what a reader finds of a document: gone yet shown, two editions mixed, older than before."""
    document_id, problems = f"doc-{number}", []
    gone = (folder / f"gone-{document_id}").exists()
    page = await knowledge_base.search.search(f"kettle{number}", READER, limit=50, mode="text")
    found = [item for item in page.items if item.document_id == document_id]
    did["searches"] += 1
    if gone and found:
        problems.append(f"{document_id} is found though it is gone")
    for item in found:
        text = await _text(knowledge_base, document_id, item.version)
        edition = item.snippet.replace("**", "").partition("edition e")[2].partition(".")[0]
        if text and edition and text != text_of(number, int(edition)):
            problems.append(f"{document_id} version {item.version}: {item.snippet[:80]!r} is not of its text")
    if text := await _text(knowledge_base, document_id, None):
        edition = text.partition("edition e")[2].partition(".")[0]
        did["fetches"] += 1
        if gone:
            problems.append(f"{document_id} is read though it is gone")
        if text != text_of(number, int(edition)) or int(edition) < seen.get(document_id, 0):
            problems.append(f"{document_id} is not whole, or older than before")
        seen[document_id] = int(edition)
    elif document_id in seen and not (folder / f"going-{document_id}").exists():
        problems.append(f"{document_id} was there and is not")
    if not found and document_id in seen and not (folder / f"going-{document_id}").exists():
        did["missed"] += 1
    return problems


async def _text(knowledge_base: KnowledgeBase, document_id: str, version: int | None) -> str:
    try:
        return (await knowledge_base.library.fetch(document_id, READER, version)).text
    except NotFound:
        return ""


if __name__ == "__main__":
    mode, place, *numbers = sys.argv[1:]
    task = {"accept": accept, "work": work, "read": read}[mode]
    asyncio.run(task(Path(place), *map(int, numbers)))  # type: ignore[operator]
