"""A stand-in for Pinecone, written for these tests: the hosted service cannot be reached here.

It has the endpoints of API version 2026-07 that the adapter uses, as docs.pinecone.io describes them, and no others:
create, describe and delete of an index; upsert, query, update, delete, fetch, list and describe_index_stats of vectors.
It refuses what exceeds the documented limits, and like the service it lets queries see a write only after a while, and
says by log positions in its headers how far they are.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from tests.services.pinecone_filters import Malformed, matches

KEY, VERSION = "pcsk_test", "2026-07"
LAG_SECONDS = 0.02
MAX_METADATA, MAX_REQUEST, MAX_RESULT, MAX_RECORDS, MAX_SPARSE = 40 * 1024, 2 << 20, 4 << 20, 1_000, 2_048
Answer = tuple[int, Any, dict[str, str]]
Space = dict[str, dict[str, Any]]


class Missing(Exception):
    """The server answers 404."""


@dataclass
class Index:
    """One index: what was written, and how much of it queries see."""

    name: str
    dimension: int
    metric: str
    sparse: bool
    lag: float = LAG_SECONDS
    spaces: dict[str, Space] = field(default_factory=dict)
    waiting: list[tuple[float, int, Callable[[], Any]]] = field(default_factory=list)
    written: int = 0
    seen: int = 0
    down: bool = False
    queries: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str, asked: dict[str, Any], size: int) -> Answer:
        """Of the data plane."""
        with self.lock:
            self._catch_up()
            if self.down:
                return 503, _error("UNAVAILABLE", "try later"), {}
            name = path.strip("/").replace("/", "_")
            if name not in {f"vectors_{kind}" for kind in ("upsert", "update", "delete", "fetch", "list")} | {
                "query",
                "describe_index_stats",
            }:
                raise Missing(path)
            if size > MAX_REQUEST:
                return 413, _error("OUT_OF_RANGE", "a request has at most 2 MB"), {}
            found: Answer = getattr(self, f"_{name}")(asked)
            return found

    def _catch_up(self) -> None:
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, self.seen, apply = self.waiting.pop(0)
            apply()

    def _later(self, apply: Callable[[], Any]) -> dict[str, str]:
        self.written += 1
        self.waiting.append((time.monotonic() + self.lag, self.written, apply))
        return {"x-pinecone-lsn-committed": str(self.written)}

    def _space(self, asked: dict[str, Any]) -> Space:
        return self.spaces.get(asked.get("namespace", ""), {})

    def _vectors_upsert(self, asked: dict[str, Any]) -> Answer:
        records = [self._checked(record) for record in asked["vectors"]]
        if not 0 < len(records) <= MAX_RECORDS:
            raise Malformed(f"1 to {MAX_RECORDS} records")
        space = asked.get("namespace", "")
        written = {record["id"]: record for record in records}
        headers = self._later(lambda: self.spaces.setdefault(space, {}).update(written))
        return 200, {"upsertedCount": len(records)}, headers

    def _checked(self, record: dict[str, Any]) -> dict[str, Any]:
        if not record["id"].isascii() or not 0 < len(record["id"]) <= 512:
            raise Malformed("an id has 1 to 512 ASCII characters")
        values = np.array(record["values"], np.float32)
        if values.shape != (self.dimension,) or not values.any():
            raise Malformed("a dense vector has the dimension of the index, and is not zero")
        _check_metadata(record.get("metadata", {}))
        words = self._words(record.get("sparseValues"))
        return {"id": record["id"], "values": values, "words": words, "metadata": dict(record.get("metadata", {}))}

    def _words(self, given: dict[str, Any] | None) -> dict[int, float]:
        if given is None:
            return {}
        found = dict(zip(given["indices"], given["values"], strict=True))
        usable = all(0 <= place < 1 << 32 for place in found) and all(found.values())
        if not self.sparse or not usable or not 0 < len(found) == len(given["indices"]) <= MAX_SPARSE:
            raise Malformed("sparse values cannot be used")
        return found

    def _query(self, asked: dict[str, Any]) -> Answer:
        self.queries.append(asked)
        vector, words = np.array(asked["vector"], np.float32), self._words(asked.get("sparseVector"))
        if vector.shape != (self.dimension,) or not 0 < asked["topK"] <= 10_000:
            raise Malformed("vector or topK")
        fitting = [each for each in self._space(asked).values() if matches(asked.get("filter", {}), each["metadata"])]
        scored = [(self._score(vector, words, record), record) for record in fitting]
        best = sorted(scored, key=lambda found: -found[0])[: asked["topK"]]
        answer = {"matches": [_shown(record, asked, score) for score, record in best]}
        if len(json.dumps(answer)) > MAX_RESULT:
            raise Malformed("a result has at most 4 MB")
        return 200, answer, {"x-pinecone-lsn-reconciled": str(self.seen)}

    def _score(self, vector: Any, words: dict[int, float], record: dict[str, Any]) -> float:
        known: dict[int, float] = record["words"]
        return float(vector @ record["values"]) + sum(weight * known.get(place, 0.0) for place, weight in words.items())

    def _vectors_update(self, asked: dict[str, Any]) -> Answer:
        changed = asked.get("setMetadata", {})
        _check_metadata(changed)

        def chosen() -> list[dict[str, Any]]:
            space = self._space(asked)
            if "id" in asked:
                return [space[asked["id"]]] if asked["id"] in space else []
            return [record for record in space.values() if matches(asked["filter"], record["metadata"])]

        count = len(chosen())
        if asked.get("dryRun"):
            return 200, {"matchedRecords": count}, {}
        headers = self._later(lambda: [record["metadata"].update(changed) for record in chosen()])
        return 200, {"matchedRecords": count} if "filter" in asked else {}, headers

    def _vectors_delete(self, asked: dict[str, Any]) -> Answer:
        if asked.get("namespace", "") not in self.spaces:
            raise Missing("namespace")

        def apply() -> None:
            space = self._space(asked)
            gone = asked.get("ids") or [
                id
                for id, record in space.items()
                if asked.get("deleteAll") or matches(asked["filter"], record["metadata"])
            ]
            for id in gone:
                space.pop(id, None)

        return 200, {}, self._later(apply)

    def _vectors_fetch(self, asked: dict[str, Any]) -> Answer:
        space = self._space(asked)
        ids = asked["ids"] if isinstance(asked["ids"], list) else [asked["ids"]]
        shown = {"includeValues": True, "includeMetadata": True}
        return 200, {"vectors": {id: _shown(space[id], shown) for id in ids if id in space}}, {}

    def _vectors_list(self, asked: dict[str, Any]) -> Answer:
        limit, after = int(asked.get("limit", 100)), asked.get("paginationToken", "")
        ids = [id for id in sorted(self._space(asked)) if id.startswith(asked.get("prefix", "")) and id > after]
        page = {"vectors": [{"id": id} for id in ids[:limit]]}
        return 200, page | ({"pagination": {"next": ids[limit - 1]}} if len(ids) > limit else {}), {}

    def _describe_index_stats(self, asked: dict[str, Any]) -> Answer:
        spaces = {name: {"vectorCount": len(space)} for name, space in self.spaces.items() if space}
        total = sum(space["vectorCount"] for space in spaces.values())
        shape = {"dimension": self.dimension, "metric": self.metric, "vectorType": "dense"}
        return 200, {"namespaces": spaces, "totalVectorCount": total, "indexFullness": 0, **shape}, {}

    def described(self, host: str) -> dict[str, Any]:
        """As the control plane describes it."""
        dense = {"type": "dense_vector", "dimension": self.dimension, "metric": self.metric}
        return {
            "name": self.name,
            "host": host,
            "status": {"ready": True, "state": "Ready"},
            "schema": {
                "fields": {"_values": dense} | ({"_sparse_values": {"type": "sparse_vector"}} if self.sparse else {})
            },
            "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1", "environment": "test"},
            "deletion_protection": "disabled",
        }


@dataclass
class Pinecone:
    """The control plane, and the hands of a test on it."""

    url: str = ""
    hosts: dict[str, str] = field(default_factory=dict)
    indices: dict[str, Index] = field(default_factory=dict)
    servers: dict[str, Callable[[], None]] = field(default_factory=dict)

    def create(self, name: str, dimension: int, metric: str = "dotproduct", sparse: bool = True) -> Index:
        """A new index, at an address of its own."""
        index = self.indices[name] = Index(name, dimension, metric, sparse)
        self.hosts[name], self.servers[name] = _serve(lambda method, path, asked, size: index.answer(path, asked, size))
        return index

    def drop(self, name: str) -> None:
        """It is gone, and nobody answers at its address."""
        del self.indices[name], self.hosts[name]
        self.servers.pop(name)()

    def answer(self, method: str, path: str, asked: dict[str, Any], size: int) -> Answer:
        """Of the control plane."""
        name = path.removeprefix("/indexes/")
        if path == "/indexes" and method == "POST":
            dense = asked["schema"]["fields"]["_values"]
            sparse = "_sparse_values" in asked["schema"]["fields"]
            index = self.create(asked["name"], dense["dimension"], dense["metric"], sparse)
            return 201, index.described(self.hosts[index.name]), {}
        if name not in self.indices:
            raise Missing(name)
        if method == "DELETE":
            self.drop(name)
            return 202, {}, {}
        return 200, self.indices[name].described(self.hosts[name]), {}


@contextmanager
def serving() -> Iterator[Pinecone]:
    """The stand-in, on free ports of this machine."""
    pinecone = Pinecone()
    pinecone.url, stop = _serve(pinecone.answer)
    try:
        yield pinecone
    finally:
        for name in list(pinecone.indices):
            pinecone.drop(name)
        stop()


def _serve(answer: Callable[[str, str, dict[str, Any], int], Answer]) -> tuple[str, Callable[[], None]]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            status, found, headers = self._answered(
                url.path, {**dict(parse_qsl(url.query)), **json.loads(body or b"{}")}, len(body)
            )
            content = json.dumps(found).encode()
            self.send_response(status)
            for name, value in {
                **headers,
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _answered(self, path: str, asked: dict[str, Any], size: int) -> Answer:
            if self.headers.get("Api-Key") != KEY:
                return 401, _error("UNAUTHENTICATED", "Invalid API Key"), {}
            if self.headers.get("X-Pinecone-Api-Version") != VERSION:
                return 400, _error("INVALID_ARGUMENT", f"this stands in for {VERSION}"), {}
            try:
                return answer(self.command, path, asked, size)
            except Malformed as error:
                return 400, _error("INVALID_ARGUMENT", str(error)), {}
            except Missing as error:
                return 404, _error("NOT_FOUND", f"{error} not found"), {}

        do_GET = do_POST = do_DELETE = _handle

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    return f"http://127.0.0.1:{server.server_port}", stop


def _check_metadata(metadata: dict[str, Any]) -> None:
    for name, value in metadata.items():
        elements = value if isinstance(value, list) else [value]
        texts_only = not isinstance(value, list) or all(isinstance(each, str) for each in value)
        if (
            name.startswith("$")
            or not texts_only
            or not all(isinstance(each, str | bool | int | float) for each in elements)
        ):
            raise Malformed(f"metadata {name}: text, numbers, booleans or lists of text")
    if len(json.dumps(metadata)) > MAX_METADATA:
        raise Malformed("metadata has at most 40 KB")


def _shown(record: dict[str, Any], asked: dict[str, Any], score: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"id": record["id"], "values": []}
    if score is not None:
        found["score"] = score
    if asked.get("includeValues"):
        found["values"] = record["values"].tolist()
    if asked.get("includeMetadata"):
        # All numbers are 64 bit floats there.
        found["metadata"] = {
            name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
            for name, value in record["metadata"].items()
        }
    return found


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}, "status": code}
