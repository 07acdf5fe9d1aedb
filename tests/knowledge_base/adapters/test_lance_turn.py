import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from knowledge_base.adapters import lance_turn
from knowledge_base.adapters.lance_turn import WriterTurn

HOLD = """
import asyncio, pathlib, sys
from knowledge_base.adapters.lance_turn import WriterTurn
async def hold():
    async with WriterTurn(pathlib.Path(sys.argv[1])).taken():
        print("taken", flush=True)
        await asyncio.sleep(60)
asyncio.run(hold())
"""


async def test_writers_take_turns_whichever_process_they_are_in(tmp_path: Path) -> None:
    inside = most = 0

    async def write(turn: WriterTurn) -> None:
        nonlocal inside, most
        async with turn.taken():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.002)
            inside -= 1

    # Two objects have a lock of their own each, as two processes do.
    one, other = WriterTurn(tmp_path / "lock"), WriterTurn(tmp_path / "lock")
    await asyncio.gather(*[write(turn) for turn in (one, other) * 10])
    assert most == 1


async def test_a_killed_process_gives_its_turn_back(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE)  # noqa: ASYNC220
    try:
        assert holder.stdout and await asyncio.to_thread(holder.stdout.readline) == b"taken\n"
        waiting = asyncio.ensure_future(_take(WriterTurn(tmp_path / "lock")))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    finally:
        holder.kill()
        holder.communicate()
    await asyncio.wait_for(waiting, 20)


async def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_turn, "PATIENCE_SECONDS", 0.05)
    async with WriterTurn(tmp_path / "lock").taken():
        await asyncio.wait_for(_take(WriterTurn(tmp_path / "lock")), 20)


async def _take(turn: WriterTurn) -> None:
    async with turn.taken():
        pass
