"""A server of the shape of OpenAI's embeddings API, for these tests, with the project's own model behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from knowledge_base.adapters.onnx_embedder import OnnxEmbedder

KEY = "sk-embeddings-test"
MAX_INPUTS = 32


@dataclass
class EmbeddingsApi:
    """What was asked, and what goes wrong."""

    url: str = ""
    batches: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Answered first, one by one."""
    spoil: Any = None
    """What to make of a good answer."""
    embedder: OnnxEmbedder = field(default_factory=lambda: OnnxEmbedder(threads=2))

    async def answer(self, request: web.Request) -> web.Response:
        """One request."""
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"error": {"message": "Incorrect API key provided"}}, status=401)
        asked = await request.json()
        self.batches.append(len(asked["input"]))
        if self.statuses:
            status = self.statuses.pop(0)
            return web.json_response({"error": {"message": f"as to {asked['input'][0]}"}}, status=status)
        if len(asked["input"]) > MAX_INPUTS or not all(asked["input"]):
            return web.json_response({"error": {"message": "invalid input"}}, status=400)
        vectors = await self.embedder.embed(asked["input"])
        # Any order is allowed: `index` says which is whose.
        data = [
            {"object": "embedding", "index": n, "embedding": [2 * float(value) for value in vector]}
            for n, vector in reversed(list(enumerate(vectors)))
        ]
        found = {"object": "list", "model": asked["model"], "data": data, "usage": {"prompt_tokens": 0}}
        return web.json_response(self.spoil(found) if self.spoil else found)


@asynccontextmanager
async def serving() -> AsyncIterator[EmbeddingsApi]:
    """The server, on a free port of this machine."""
    api, app = EmbeddingsApi(), web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/embeddings", api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield api
    finally:
        await runner.cleanup()
        await api.embedder.close()
