"""Index and embedder begin at the same time in a fresh process, as in every first search."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, sys
from pathlib import Path
from knowledge_base.adapters.lance_index import LanceIndex
from knowledge_base.adapters.onnx_embedder import OnnxEmbedder

async def main():
    index, embedder = LanceIndex(Path(sys.argv[1]), 384), OnnxEmbedder()
    await asyncio.gather(index.warm(), embedder.embed(["tea"]))
    await embedder.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("attempt", range(3))
def test_both_load_at_once(tmp_path: Path, attempt: int) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
