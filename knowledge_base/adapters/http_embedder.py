"""Vectors from a server elsewhere, in the shape of OpenAI's `/v1/embeddings`, which many servers speak."""

import asyncio
from collections.abc import Sequence
from typing import Any

from common.errors import DeadlineExceeded, InvalidInput, RateLimited, Unavailable
from common.http.client import Answer, Request, ResilientClient
from common.http.credentials import Credentials
from common.http.upstream import Upstream, UpstreamMetrics
from knowledge_base.documents import Vector

BATCH = 32
"""Texts of one request: as many as Text Embeddings Inference takes by default. A server without a graphics card needs
seconds for them."""
AT_ONCE = 4
"""Requests for documents; a query does not wait for them."""
MAX_CHARS = 16_000
"""Of a text: servers refuse what is much longer than their model reads."""


class HttpEmbedder:
    """Unit vectors; texts of documents go in batches. Raises Unavailable while the server cannot do it."""

    def __init__(
        self,
        upstream: Upstream,
        model: str,
        dimension: int,
        credentials: Credentials | None = None,
        metrics: UpstreamMetrics | None = None,
    ) -> None:
        self.model = model
        self.dimension = dimension
        self.upstream = upstream
        self._client = ResilientClient(upstream, credentials, metrics)
        self._bulk = asyncio.Semaphore(AT_ONCE)

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order."""
        if len(texts) == 1:
            return await self._asked(texts)
        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one_of_many(batch)) for batch in batches]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [vector for task in tasks for vector in task.result()]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _one_of_many(self, texts: Sequence[str]) -> list[Vector]:
        async with self._bulk:
            return await self._asked(texts)

    async def _asked(self, texts: Sequence[str]) -> list[Vector]:
        # An empty text is refused by some servers.
        given = [text[:MAX_CHARS] or " " for text in texts]
        body = {"model": self.model, "input": given, "encoding_format": "float"}
        try:
            answer = await self._client.send(Request("POST", "embeddings", body=body, repeatable=True))
        except (RateLimited, DeadlineExceeded) as error:
            # For a job this is an outage, not a failure of its document.
            raise Unavailable("The embedder takes no more for now.", "Try again later.", error.retry_after) from error
        _refused(answer)
        return self._vectors(answer.json(), len(texts))

    def _vectors(self, answer: Any, count: int) -> list[Vector]:
        """Raises Unavailable for an answer that is not one vector of the dimension for each text."""
        import numpy as np

        try:
            ordered = sorted(answer["data"], key=lambda each: each["index"])
            found = np.array([each["embedding"] for each in ordered], np.float32)
            numbers = [each["index"] for each in ordered]
        except (KeyError, TypeError, ValueError):
            raise Unavailable("The embedder's answer cannot be read.", "The operator checks KB_EMBEDDER_URL.") from None
        if numbers != list(range(count)) or found.shape != (count, self.dimension):
            size = found.shape[1] if found.ndim == 2 else "?"
            hint = "The operator checks KB_EMBEDDER_MODEL and KB_EMBEDDER_DIMENSION."
            raise Unavailable(f"The embedder sent {len(numbers)} vectors of {size} dimensions.", hint)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise Unavailable("The embedder sent a vector without a direction.", "The operator looks at it.")
        return list(found / lengths)


def _refused(answer: Answer) -> None:
    """Raises for a status of 400 and above; what the server says goes nowhere, since it may quote a text."""
    if answer.status in (401, 403):
        raise Unavailable("The embedder refuses this server.", "The operator checks KB_EMBEDDER_API_KEY.")
    if answer.status == 404:
        raise Unavailable("The embedder is not there.", "The operator checks KB_EMBEDDER_URL and KB_EMBEDDER_MODEL.")
    if answer.status >= 400:
        raise InvalidInput(f"The embedder refuses the text (status {answer.status}).", "Shorten it, or leave it out.")
