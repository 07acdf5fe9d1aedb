"""A cross-encoder in ONNX form: reads question and passage together, which is slower and more exact than vectors."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common.errors import SettingsError
from knowledge_base.adapters.imports import ONE_AT_A_TIME

MAX_TOKENS = 256
_MAX_CHARS = 8_000
FILES = ("model.onnx", "tokenizer.json")


class OnnxReranker:
    """The model of a folder with `model.onnx` and `tokenizer.json`, loaded when first needed, on one thread."""

    def __init__(self, folder: Path) -> None:
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise SettingsError(f"KB_RERANKER: {folder} has no {' and no '.join(missing)}")
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="reranker")
        self._given_up = threading.Event()
        self._model: tuple[Any, Any] | None = None

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """How well each passage answers, on the model's own scale; more is better."""
        cancelled = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._score, query, passages, cancelled)
        try:
            return await work
        finally:
            # Whoever has no time left must not keep the thread from the next one.
            cancelled.set()

    async def close(self) -> None:
        """End the thread."""
        self._given_up.set()
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _score(self, query: str, passages: Sequence[str], cancelled: threading.Event) -> list[float]:
        found: list[float] = []
        for passage in passages:
            if cancelled.is_set() or self._given_up.is_set():
                break
            found.append(self._one(query, passage))
        return found

    def _one(self, query: str, passage: str) -> float:
        import numpy as np

        session, tokenizer = self._loaded()
        encoding = tokenizer.encode(query[:_MAX_CHARS], passage[:_MAX_CHARS])
        given = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        wanted = {each.name for each in session.get_inputs()}
        inputs = {name: np.array([values], dtype=np.int64) for name, values in given.items() if name in wanted}
        return float(session.run(None, inputs)[0][0][-1])

    def _loaded(self) -> tuple[Any, Any]:
        if self._model is None:
            with ONE_AT_A_TIME:
                from onnxruntime import InferenceSession, SessionOptions
            from tokenizers import Tokenizer

            options = SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            model, words = (str(self._folder / name) for name in FILES)
            tokenizer = Tokenizer.from_file(words)
            tokenizer.enable_truncation(MAX_TOKENS, strategy="only_second")
            self._model = InferenceSession(model, options, providers=["CPUExecutionProvider"]), tokenizer
        return self._model
