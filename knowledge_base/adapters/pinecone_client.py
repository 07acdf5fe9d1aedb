"""The connection to Pinecone by its own client: deadlines, and errors in words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from common.errors import SettingsError, Unavailable
from common.resilience.deadline import remaining

if TYPE_CHECKING:
    from pinecone import AsyncIndex

CONNECTIONS = 20
DENSE, SPARSE = "_values", "_sparse_values"
"""What the API calls the vectors of an index that has no other fields."""


@dataclass(frozen=True)
class PineconeAccess:
    """An index, and how to sign in. `url` is the control plane's, which knows where the index is."""

    api_key: SecretStr
    index: str
    url: str = "https://api.pinecone.io"
    timeout_seconds: float = 10.0


class Pinecone:
    """A client of one index, whose requests have the caller's deadline, and whose failures are worded."""

    def __init__(self, access: PineconeAccess, dimension: int) -> None:
        self._access = access
        self._dimension = dimension
        self._opening = asyncio.Lock()
        self._index: AsyncIndex | None = None

    @asynccontextmanager
    async def asked(self, seconds: float | None = None) -> "AsyncIterator[AsyncIndex]":
        """The client for one piece of work of at most so long, however often it tries.

        Raises Unavailable for what is the service's fault or the operator's, SettingsError for an index of another
        shape.
        """
        async with worded(), asyncio.timeout(max(0.01, remaining(seconds or self._access.timeout_seconds))):
            async with self._opening:
                if self._index is None:
                    self._index = await self._opened()
            yield self._index

    async def close(self) -> None:
        """Close its connections."""
        if self._index is not None:
            await self._index.close()
            self._index = None

    async def _opened(self) -> "AsyncIndex":
        import pinecone

        key, timeout = self._access.api_key.get_secret_value(), self._access.timeout_seconds
        async with pinecone.AsyncPinecone(key, host=self._access.url, timeout=timeout) as control:
            found = await control.indexes.describe(self._access.index)
        self._check(found)
        if found.host is None or not found.status.ready:
            raise Unavailable("The search index is not ready yet.", "Try again.", retry_after=10)
        return pinecone.AsyncIndex(host=found.host, api_key=key, timeout=timeout, connection_pool_maxsize=CONNECTIONS)

    def _check(self, found: Any) -> None:
        fields = found.schema.fields
        dense = fields.get(DENSE)
        shape = (getattr(dense, "dimension", None), getattr(dense, "metric", None))
        if shape != (self._dimension, "dotproduct") or SPARSE not in fields:
            raise SettingsError(
                f"The index {self._access.index} must have dense vectors of {self._dimension} dimensions with the "
                "metric dotproduct, and sparse vectors: make another one, and name it in KB_PINECONE_INDEX"
            )


@asynccontextmanager
async def worded() -> AsyncIterator[None]:
    """Failures of the service as errors that say what to do."""
    from pinecone import errors as driver

    try:
        yield
    except (TimeoutError, driver.PineconeConnectionError) as error:
        raise Unavailable("The search index does not answer.", "Try again.", retry_after=1) from error
    except (driver.UnauthorizedError, driver.ForbiddenError) as error:
        hint = "The operator checks KB_PINECONE_API_KEY and what it allows."
        raise Unavailable("The search index refuses this server.", hint) from error
    except driver.NotFoundError as error:
        raise Unavailable("The search index is gone.", "The operator checks KB_PINECONE_INDEX.") from error
    except (driver.RateLimitError, driver.ServiceError) as error:
        raise Unavailable("The search index is busy.", "Try again.", retry_after=5) from error
