"""A large knowledge base of synthetic documents, made of the sentences and vectors of real ones."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from common.jobs import new_batch
from common.security.access import Access, AccessScope, may_read
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.documents import Chunk, IndexedChunk, MetadataValue, NewDocument, Published, Stored

TENANTS = {"acme": 0.8, "globex": 0.1, "initech": 0.1}
GROUPS = [f"group-{number:03}" for number in range(500)]
CLASSES = {"public": 0.3, "internal": 0.5, "confidential": 0.15, "restricted": 0.05}
CHUNKS_A_DOCUMENT = 4
GROUP = 500
NOISE = 0.35
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass
class World:
    """What is in the knowledge base, kept beside it so that answers can be checked; `vectors` has a row a chunk."""

    vectors: Any
    documents: list[tuple[str, Access]] = field(default_factory=list)
    """Tenant and rights, by number."""

    def nearest(self, query: Any, scope: AccessScope, limit: int) -> list[tuple[str, int]]:
        """Document and number of the chunks that are nearest of all that a caller may read."""
        import numpy as np

        mine = np.array([may_read(scope, tenant, access) for tenant, access in self.documents])
        scores = np.where(np.repeat(mine, CHUNKS_A_DOCUMENT), self.vectors @ query, -2)
        best = np.argpartition(-scores, limit)[:limit]
        return [(document_id(int(row) // CHUNKS_A_DOCUMENT), int(row) % CHUNKS_A_DOCUMENT) for row in best]


def document_id(number: int) -> str:
    return f"doc-{number:06}"


def some_access(rng: random.Random, groups: Sequence[str] = GROUPS) -> Access:
    """Two documents of five are for everybody who is cleared, the others for one to three groups."""
    [level] = rng.choices(list(CLASSES), list(CLASSES.values()))
    return Access(level, frozenset(rng.sample(groups, rng.choice([0, 0, 1, 2, 3]))))  # type: ignore[arg-type]


class Filling:
    """Puts documents in, in groups, past parser and embedder: embedding 100,000 texts would take an hour."""

    def __init__(
        self,
        knowledge_base: KnowledgeBase,
        texts: Sequence[str],
        vectors: Any,
        documents: int,
        groups: Sequence[str] = GROUPS,
    ) -> None:
        import numpy as np

        self._knowledge_base = knowledge_base
        self._groups = groups
        self._sentences: list[list[str]] = [_SENTENCE_END.split(text) for text in texts]
        self._rng = random.Random(1)  # noqa: S311 - a benchmark
        rng = np.random.default_rng(1)
        count = documents * CHUNKS_A_DOCUMENT
        # Each chunk lies between a real text and one of its 30 neighbours, with noise around.
        near = np.argsort(-(vectors @ vectors.T), axis=1)[:, 1:31]
        self._first: Any = rng.integers(0, len(texts), count)
        self._second: Any = near[self._first, rng.integers(0, near.shape[1], count)]
        share = rng.uniform(0.5, 0.9, (count, 1)).astype(np.float32)
        noise = rng.standard_normal((count, vectors.shape[1]), dtype=np.float32) * NOISE / vectors.shape[1] ** 0.5
        mixed = share * vectors[self._first] + (1 - share) * vectors[self._second] + noise
        self.world = World(mixed / np.linalg.norm(mixed, axis=1, keepdims=True))
        self._documents = documents

    async def next_group(self) -> int:
        """One group more; returns how many documents there are."""
        start = len(self.world.documents)
        numbers = range(start, min(self._documents, start + GROUP))
        tenants = self._rng.choices(list(TENANTS), list(TENANTS.values()), k=len(numbers))
        self.world.documents += [(tenant, some_access(self._rng, self._groups)) for tenant in tenants]
        for tenant in TENANTS:
            await self._publish(tenant, [n for n in numbers if self.world.documents[n][0] == tenant])
        chunks = [chunk for number in numbers for chunk in self._chunks(number)]
        await self._knowledge_base.index.add(chunks)
        return len(self.world.documents)

    async def _publish(self, tenant: str, numbers: Sequence[int]) -> None:
        catalog, queue = self._knowledge_base.catalog, self._knowledge_base.queue
        new = [self._document(number) for number in numbers]
        operator = AccessScope(tenant, "operator", clearance="restricted")
        await catalog.accept([Stored(document, "none", 0) for document in new], operator, new_batch(), operator=True)
        await catalog.publish([Published(tenant, one.document_id, 1, one.title, "none", 1.0) for one in new])
        await queue.finish(await queue.claim(len(numbers)))

    def _document(self, number: int) -> NewDocument:
        tenant, access = self.world.documents[number]
        metadata: dict[str, MetadataValue] = {"year": 2000 + number % 25, "team": GROUPS[number % 40]}
        return NewDocument(tenant, document_id(number), "a.md", b"", access, self._title(number), metadata)

    def _title(self, number: int) -> str:
        source = int(self._first[number * CHUNKS_A_DOCUMENT])
        return self._sentences[source][0][:80]

    def _chunks(self, number: int) -> list[IndexedChunk]:
        document = self._document(number)
        return [self._chunk(document, part, number * CHUNKS_A_DOCUMENT + part) for part in range(CHUNKS_A_DOCUMENT)]

    def _chunk(self, document: NewDocument, part: int, row: int) -> IndexedChunk:
        sentences = self._sentences[self._first[row]] + self._sentences[self._second[row]]
        self._rng.shuffle(sentences)
        text = " ".join(sentences)[:1_000]
        return IndexedChunk(
            tenant=document.tenant,
            document_id=document.document_id,
            version=1,
            title=document.title,
            chunk=Chunk(part, "", text, part * 1_000, part * 1_000 + len(text)),
            access=document.access,
            metadata=document.metadata,
            vector=self.world.vectors[row],
            published_at=1.0,
        )
