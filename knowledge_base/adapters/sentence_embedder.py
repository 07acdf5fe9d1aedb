"""Any model of sentence-transformers, by PyTorch. An extra of its own, since PyTorch is gigabytes."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common.errors import SettingsError
from knowledge_base.documents import Vector

BATCH = 32


class SentenceEmbedder:
    """Unit vectors. The model, a folder or a name, is loaded when first needed; no code of it is run.

    PyTorch uses all processors for one batch, so there is one thread. A query waits for no more than one batch.
    """

    def __init__(self, model: str, dimension: int) -> None:
        self.model = Path(model).name
        self.dimension = dimension
        self._source = model
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._model: Any = None

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order. Raises SettingsError for a model of another dimension."""
        found: list[Vector] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            found += await asyncio.get_running_loop().run_in_executor(self._pool, self._embed, batch)
        return found

    async def close(self) -> None:
        """End the thread; texts that wait are dropped."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _embed(self, texts: list[str]) -> list[Vector]:
        if self._model is None:
            self._model = self._loaded()
        return list(self._model.encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False))

    def _loaded(self) -> Any:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(self._source, trust_remote_code=False)
        found = len(model.encode("dimension", show_progress_bar=False))
        if found != self.dimension:
            raise SettingsError(f"{self.model} makes vectors of {found} dimensions: set KB_EMBEDDER_DIMENSION={found}")
        return model
