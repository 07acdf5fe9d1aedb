"""The connection to Elasticsearch: deadlines, errors in words, bulk requests that wait for a server that is busy."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from common.errors import Unavailable
from common.resilience.deadline import remaining
from common.tls import client_context

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

CONNECTIONS = 20
PAGE = 1_000
BULK_OPERATIONS, BULK_BYTES = 500, 5 * 1024 * 1024
"""A bulk request has at most so many."""
BULK_SECONDS = 60.0
"""For one bulk request of a worker, longer than anybody waits for a search; a caller's deadline still counts."""
BULK_TRIES, BULK_PAUSE_SECONDS, BULK_LONGEST_PAUSE_SECONDS = 8, 0.1, 5.0
"""For what the server refuses since it is busy, or since the index is just being replaced."""
_BUSY = (429, 503)
_BLOCKED = "cluster_block_exception"
_NO_CHUNK = "document_missing_exception"
_NO_INDEX = "index_not_found_exception"
PIT_SECONDS = 60


@dataclass(frozen=True)
class ElasticsearchAccess:
    """Where a cluster is, and how to sign in: by an API key, or by name and password."""

    urls: list[str]
    api_key: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    timeout_seconds: float = 10.0


def connect(access: ElasticsearchAccess) -> "AsyncElasticsearch":
    """A client. Nothing is opened before its first request."""
    from elasticsearch import AsyncElasticsearch
    from elasticsearch.serializer import OrjsonSerializer

    given: dict[str, Any] = {}
    if access.api_key is not None:
        given["api_key"] = access.api_key.get_secret_value()
    elif access.username is not None and access.password is not None:
        given["basic_auth"] = (access.username, access.password.get_secret_value())
    if any(url.startswith("https:") for url in access.urls):
        given["ssl_context"] = client_context(access.ca_file)
    return AsyncElasticsearch(
        access.urls,
        serializers={"application/json": OrjsonSerializer()},
        connections_per_node=CONNECTIONS,
        request_timeout=access.timeout_seconds,
        # A rejected request is tried again with pauses, by `bulk`; the client would hammer.
        retry_on_status=(502, 504),
        max_retries=2,
        **given,
    )


class Elasticsearch:
    """A client whose failures are worded."""

    def __init__(self, access: ElasticsearchAccess) -> None:
        self._access = access
        self._client: AsyncElasticsearch | None = None

    @contextmanager
    def asked(self) -> "Iterator[AsyncElasticsearch]":
        """The client for one piece of work. Raises Unavailable for what is the cluster's fault or the operator's.

        A request has `timeout_seconds`; a caller whose deadline is nearer ends it by giving up.
        """
        if self._client is None:
            self._client = connect(self._access)
        with worded():
            yield self._client

    async def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None


@contextmanager
def worded() -> Iterator[None]:
    """Failures of the cluster as errors that say what to do."""
    import elasticsearch as driver

    try:
        yield
    except driver.TransportError as error:
        raise Unavailable("The search index does not answer.", "Try again.", retry_after=1) from error
    except (driver.AuthenticationException, driver.AuthorizationException) as error:
        hint = "The operator checks KB_ELASTICSEARCH_API_KEY and what it allows."
        raise Unavailable("The search index refuses this server.", hint) from error
    except driver.NotFoundError as error:
        raise _gone() from error
    except driver.ApiError as error:
        if error.status_code not in (*_BUSY, 502, 504):
            raise
        raise Unavailable("The search index is busy.", "Try again.", retry_after=1) from error


async def bulk(client: "AsyncElasticsearch", operations: Iterable[dict[str, Any]], by_alias: bool = True) -> None:
    """Send operations in requests of a bounded size; what is refused since the server is busy is sent again, later.

    An operation on what is already gone is done; no index is made for one, unless `by_alias` is off. Raises Unavailable
    if the server stays busy.
    """
    from elasticsearch.helpers import async_streaming_bulk

    sent = async_streaming_bulk(
        client.options(request_timeout=max(0.01, remaining(BULK_SECONDS))),
        operations,
        chunk_size=BULK_OPERATIONS,
        max_chunk_bytes=BULK_BYTES,
        max_retries=BULK_TRIES,
        initial_backoff=BULK_PAUSE_SECONDS,
        max_backoff=BULK_LONGEST_PAUSE_SECONDS,
        retry_on_status=(*_BUSY, 403),
        raise_on_error=False,
        yield_ok=False,
        require_alias=by_alias,
    )
    async for _, failed in sent:
        [(operation, result)] = failed.items()
        error = result.get("error", {})
        kind = error.get("type")
        if kind == _NO_INDEX:
            raise _gone()
        if (operation == "delete" and result["status"] == 404) or kind == _NO_CHUNK:
            continue
        if result["status"] in _BUSY or kind in (_BLOCKED, "version_conflict_engine_exception"):
            raise Unavailable("The search index is busy.", "Try again.", retry_after=5)
        raise RuntimeError(f"Elasticsearch refused to {operation}: {kind}: {error.get('reason')}")


async def scan(
    client: "AsyncElasticsearch", index: str, query: dict[str, Any], source: dict[str, Any]
) -> AsyncIterator[list[dict[str, Any]]]:
    """All chunks that a query selects, as one moment has them, in pages."""
    pit = (await client.open_point_in_time(index=index, keep_alive=f"{PIT_SECONDS}s"))["id"]
    after: list[Any] | None = None
    try:
        while True:
            found = await client.search(
                pit={"id": pit, "keep_alive": f"{PIT_SECONDS}s"},
                query=query,
                source=source,
                size=PAGE,
                sort=[{"_shard_doc": "asc"}],
                search_after=after,
                track_total_hits=False,
                allow_partial_search_results=False,
            )
            page: list[dict[str, Any]] = found["hits"]["hits"]
            if page:
                yield page
            if len(page) < PAGE:
                return
            pit, after = found["pit_id"], page[-1]["sort"]
    finally:
        await client.close_point_in_time(id=pit)


def found_by(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The hits of one search of several. Raises Unavailable or RuntimeError if that one failed."""
    if "error" not in response:
        return list(response.get("hits", {}).get("hits", []))
    if response["status"] == 404:
        raise _gone()
    if response["status"] in (*_BUSY, 502, 504):
        raise Unavailable("The search index is busy.", "Try again.", retry_after=1)
    raise RuntimeError(f"Elasticsearch refused a search: {response['error']}")


def _gone() -> Unavailable:
    return Unavailable("The search index is gone.", "The operator runs `triptych reindex`.")
