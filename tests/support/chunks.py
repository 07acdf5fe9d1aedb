"""Chunks of no particular text, and indices to put them into."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.request import Request, urlopen

import numpy as np
import pytest
from pydantic import SecretStr

from common.security.access import Access, AccessScope
from knowledge_base.adapters.elastic_client import ElasticsearchAccess
from knowledge_base.adapters.elastic_index import ElasticIndex
from knowledge_base.adapters.lance_index import LanceIndex
from knowledge_base.adapters.onnx_embedder import DIMENSION as MINILM
from knowledge_base.adapters.pinecone_client import PineconeAccess
from knowledge_base.adapters.pinecone_index import PineconeIndex
from knowledge_base.documents import Chunk, Hit, IndexedChunk, Vector
from knowledge_base.filters import Restriction
from knowledge_base.ports import ChunkIndex
from tests.services.pinecone import KEY, VERSION

ALICE = Restriction(AccessScope("acme", "alice", frozenset({"eng"}), "confidential"))
DIMENSION = 4
Backend = Literal["lance", "elasticsearch", "pinecone"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def vector(*values: float) -> Vector:
    array = np.array([*values, *[0.0] * (DIMENSION - len(values))], dtype=np.float32)
    return array / np.linalg.norm(array)


def row(
    document_id: str,
    text: str = "pump",
    *,
    number: int = 0,
    version: int = 1,
    tenant: str = "acme",
    title: str = "",
    access: Access | None = None,
    vector_: Vector = None,
) -> IndexedChunk:
    part = Chunk(number, "Section", text, 5, 5 + len(text))
    embedded = vector(1.0) if vector_ is None else vector_
    return IndexedChunk(
        tenant, document_id, version, title, part, access or Access(), {"n": 1, "tags": ["a"]}, embedded
    )


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.document_id for hit in hits]


def server_of(backend: Backend, request: pytest.FixtureRequest) -> str:
    """URL of the server that a backend needs; empty if it needs none."""
    url: str = "" if backend == "lance" else request.getfixturevalue(f"{backend}_url")
    return url


@contextmanager
def index_settings(backend: Backend, url: str, dimension: int = MINILM) -> Iterator[dict[str, Any]]:
    """KB_* settings of an empty index, gone at the end."""
    if backend == "lance":
        yield {}
        return
    if backend == "pinecone":
        name = make_pinecone_index(url, dimension)
        yield {"index": "pinecone", "pinecone_api_key": KEY, "pinecone_index": name, "pinecone_url": url}
        ask_pinecone(url, "DELETE", f"/indexes/{name}")
        return
    prefix = f"test-{secrets.token_hex(6)}"
    try:
        yield {"index": "elasticsearch", "elasticsearch_url": [url], "elasticsearch_index": prefix}
    finally:
        asyncio.run(drop(url, f"{prefix}*"))


@asynccontextmanager
async def new_index(backend: Backend, url: str, folder: Path, dimension: int = DIMENSION) -> AsyncIterator[ChunkIndex]:
    """An empty index, gone at the end."""
    if backend == "lance":
        lance = LanceIndex(folder / "index", dimension)
        yield lance
        await lance.close()
        return
    if backend == "pinecone":
        async with new_pinecone_index(url, dimension) as pinecone:
            yield pinecone
        return
    async with new_elastic_index(url, dimension) as index:
        yield index


@asynccontextmanager
async def new_elastic_index(url: str, dimension: int = DIMENSION, **more: Any) -> AsyncIterator[ElasticIndex]:
    """An empty index of its own name, gone at the end."""
    index = ElasticIndex(ElasticsearchAccess([url], **more), f"test-{secrets.token_hex(6)}", "model", dimension)
    try:
        yield index
    finally:
        await drop(url, f"{index.alias}*")
        await index.close()


@asynccontextmanager
async def new_pinecone_index(url: str, dimension: int = DIMENSION) -> AsyncIterator[PineconeIndex]:
    """An empty index of its own name, gone at the end."""
    name = make_pinecone_index(url, dimension)
    index = PineconeIndex(PineconeAccess(SecretStr(KEY), name, url), "model", dimension)
    try:
        yield index
    finally:
        await index.close()
        ask_pinecone(url, "DELETE", f"/indexes/{name}")


def make_pinecone_index(url: str, dimension: int, metric: str = "dotproduct") -> str:
    """An empty index, as the documentation says how to make it. Returns its name."""
    name = f"test-{secrets.token_hex(6)}"
    dense = {"type": "dense_vector", "dimension": dimension, "metric": metric}
    schema = {"fields": {"_values": dense, "_sparse_values": {"type": "sparse_vector"}}}
    ask_pinecone(url, "POST", "/indexes", {"name": name, "schema": schema})
    return name


def ask_pinecone(url: str, method: str, path: str, body: dict[str, Any] | None = None) -> None:
    """A request to its control plane."""
    headers = {"Api-Key": KEY, "X-Pinecone-Api-Version": VERSION}
    data = None if body is None else json.dumps(body).encode()
    urlopen(Request(f"{url}{path}", data, headers, method=method), timeout=10).close()  # noqa: S310 - loopback


async def drop(url: str, pattern: str) -> None:
    """Remove indices of a name, and the templates that they came from."""
    from elasticsearch import AsyncElasticsearch

    async with AsyncElasticsearch(url) as client:
        for name in await client.indices.get(index=pattern):
            await client.indices.delete(index=name)
        for found in (await client.indices.get_index_template())["index_templates"]:
            if found["name"].startswith(pattern.rstrip("*")):
                await client.indices.delete_index_template(name=found["name"])
