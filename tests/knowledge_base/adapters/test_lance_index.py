"""What is Lance's own: files that hold no removed text, an index that is opened again, several processes."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import SettingsError
from knowledge_base.adapters.lance_index import LanceIndex
from tests.support.chunks import ALICE, DIMENSION, ids, row


async def test_a_long_ingest_does_not_leave_everything_unindexed(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    for n in range(45):
        await index.add([row(f"d{n}")])
    statistics = await (await index._open()).index_stats("body_idx")
    assert statistics.num_indexed_rows == 40
    assert len(await index.search_text("pump", ALICE, 100)) == 45
    await index.close()


async def test_optimize_leaves_no_removed_text_on_the_disk(tmp_path: Path) -> None:
    """One removed row of many is below the share at which Lance rewrites a file by itself."""
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add([row(f"d{n}", "harmless words") for n in range(200)])
    await index.add([row("secret", "CANARYWORD of the removed document"), row("new", "CANARYOLD of the first version")])
    await index.optimize()
    await index.add([row("new", "the second version")])
    await index.remove("acme", "secret", 9)
    assert stored(tmp_path, b"CANARYWORD")
    await index.optimize()
    assert not stored(tmp_path, b"CANARY")
    assert await index.count() == 201
    assert ids(await index.search_text("second", ALICE, 5)) == ["new"]
    await index.close()


def stored(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


async def test_an_index_is_opened_again(tmp_path: Path) -> None:
    for number in range(1, 4):
        index = LanceIndex(tmp_path, DIMENSION)
        await index.add([row(f"doc-{number}")])
        assert await index.count() == number
        await index.close()


async def test_an_index_of_another_embedder_is_refused(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.count()
    await index.close()
    with pytest.raises(SettingsError, match="of another embedder"):
        await LanceIndex(tmp_path, DIMENSION + 1).count()


PEER = """
import asyncio, sys
from pathlib import Path
from knowledge_base.adapters.lance_index import LanceIndex
from tests.support.chunks import ALICE, DIMENSION, ids, row, vector

async def main():
    index = LanceIndex(Path(sys.argv[1]), DIMENSION)
    await index.warm()
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "find":
            print(*ids(await index.search_text(argument, ALICE, 1000)), flush=True)
        elif command == "add":
            for n in range(20):
                await index.add([row(f"{argument}-{n}"), row(f"both-{n}")])
            print("added", flush=True)
        elif command == "read":
            for n in range(200):
                assert ids(await index.search_text("steady", ALICE, 5)) == ["steady"]
                assert len(await index.search_vector(vector(1), ALICE, 1)) == 1
            print("read", flush=True)

asyncio.run(main())
"""


class Peer:
    """Another process on the same folder."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", PEER, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.hear() == "ready"

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate(timeout=30)


async def test_processes_share_one_folder(tmp_path: Path) -> None:
    index = LanceIndex(tmp_path, DIMENSION)
    await index.add([row("steady", "steady")])
    peer = await asyncio.to_thread(Peer, tmp_path)
    try:
        await index.add([row("fresh", "fresh")])
        peer.say("find fresh")
        assert await asyncio.to_thread(peer.hear) == "fresh"
        await index.remove("acme", "fresh", 9)
        peer.say("find fresh")
        assert await asyncio.to_thread(peer.hear) == ""

        peer.say("add theirs")
        await asyncio.gather(*(index.add([row(f"ours-{n}"), row(f"both-{n}")]) for n in range(20)))
        assert await asyncio.to_thread(peer.hear) == "added"
        assert len(set(ids(await index.search_text("pump", ALICE, 1000)))) == await index.count() - 1 == 60

        peer.say("read")
        reading = asyncio.create_task(asyncio.to_thread(peer.hear))
        while not reading.done():
            await index.add([row("steady", "steady"), row("more", "pump")])
            await index.optimize()
        assert await reading == "read"
    finally:
        await asyncio.to_thread(peer.end)
        await index.close()
