"""`python -m tests.benchmarks.embedder_server model|distant`: an embedder like OpenAI's, in a process of its own.

`model` is the project's own, on the cores of this machine. `distant` answers after the time that one elsewhere may
take, and costs this machine next to nothing. It prints its URL; `GET /took` gives what requests took, and forgets it.
"""

import asyncio
import json
import os
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from aiohttp import web

from knowledge_base.adapters.onnx_embedder import OnnxEmbedder

DISTANT_SECONDS = 0.05
DIMENSION, DIFFERENT = 384, 512


class Model:
    """The vectors of the real model, each computed anew: the embedder would remember texts of the run before."""

    def __init__(self) -> None:
        self._embed = OnnxEmbedder()._embed
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    async def encoded(self, texts: list[str]) -> list[str]:
        """One JSON list for each text."""
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(self._pool, self._one, text) for text in texts))

    def _one(self, text: str) -> str:
        return json.dumps([round(float(value), 6) for value in self._embed(text)])


class Distant:
    """Some vectors, encoded before anybody asks."""

    def __init__(self) -> None:
        rows = np.random.default_rng(1).standard_normal((DIFFERENT, DIMENSION))
        self._rows = [json.dumps([round(float(value), 4) for value in row]) for row in rows]

    async def encoded(self, texts: list[str]) -> list[str]:
        """One JSON list for each text; the same text has the same."""
        await asyncio.sleep(DISTANT_SECONDS)
        return [self._rows[zlib.crc32(text.encode()) % DIFFERENT] for text in texts]


def application(source: Model | Distant) -> web.Application:
    """The API, and what it took."""
    took: list[tuple[float, int]] = []

    async def embeddings(request: web.Request) -> web.Response:
        started, asked = time.perf_counter(), await request.json()
        found: list[Any] = await source.encoded(asked["input"])
        data = ",".join(f'{{"index":{n},"embedding":{each}}}' for n, each in enumerate(found))
        took.append((time.perf_counter() - started, len(found)))
        return web.Response(text=f'{{"data":[{data}]}}', content_type="application/json")

    async def told(_: web.Request) -> web.Response:
        answer = web.json_response(took)
        took.clear()
        return answer

    app = web.Application(client_max_size=64 << 20)
    app.add_routes([web.post("/v1/embeddings", embeddings), web.get("/took", told)])
    return app


async def serve(kind: str) -> None:
    """Until the process is ended."""
    runner = web.AppRunner(application(Model() if kind == "model" else Distant()))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
