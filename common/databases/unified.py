"""One question to several databases at once (pattern 5): what each of them knows, and what came of each."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from common.errors import DeadlineExceeded, InvalidInput, NotFound
from common.resilience.deadline import deadline

Lookup = Callable[[str], Awaitable[Any]]
"""What a store has under an id; None, or NotFound, if it has nothing."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Part:
    """What one store said. `value` is there if the state is `ok`."""

    state: Literal["ok", "missing", "timeout", "error"]
    seconds: float
    value: Any = None


class UnifiedQuery:
    """Knows which stores to ask about each kind of thing: `{"customer": {"postgres": ..., "mongodb": ...}}`."""

    def __init__(self, lookups: Mapping[str, Mapping[str, Lookup]], seconds: float = 3.0) -> None:
        self._lookups = lookups
        self._seconds = seconds

    async def __call__(self, entity: str, id: str) -> dict[str, Part]:
        """By store, what it knows. A store that fails or hangs costs `seconds` at most, and the others nothing."""
        if entity not in self._lookups:
            raise InvalidInput(f"There is no {entity}.", f"It is one of: {', '.join(sorted(self._lookups))}.")
        lookups = self._lookups[entity]
        parts = await asyncio.gather(*[self._ask(store, lookup, id) for store, lookup in lookups.items()])
        return dict(zip(lookups, parts, strict=True))

    async def _ask(self, store: str, lookup: Lookup, id: str) -> Part:
        started = time.monotonic()
        try:
            async with deadline(self._seconds):
                value = await lookup(id)
        except DeadlineExceeded:
            return Part("timeout", time.monotonic() - started)
        except NotFound:
            value = None
        except Exception as error:
            # The message may hold data; the type says enough to know where to look.
            log.warning("databases.store_failed", store=store, error=type(error).__name__)
            return Part("error", time.monotonic() - started)
        return Part("missing" if value is None else "ok", time.monotonic() - started, value)
