"""The best of a ranking put into a better order by a model that is slower, if there is one and time for it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from common.errors import AppError, DeadlineExceeded
from common.resilience.deadline import deadline
from knowledge_base.ports import Reranker
from knowledge_base.ranking import Ranked

Rerank = Callable[[str, Ranked], Awaitable[Ranked]]
LOOKED_AT = 30
"""Documents, from the best one."""
log = structlog.get_logger(__name__)


async def as_ranked(query: str, ranked: Ranked) -> Ranked:
    """Without a model the order stays."""
    return ranked


class Reranking:
    """Asks the model, and keeps the order as it was if there is no answer in time."""

    def __init__(self, model: Reranker, seconds: float) -> None:
        self._model = model
        self._seconds = seconds

    async def __call__(self, query: str, ranked: Ranked) -> Ranked:
        """The same documents and scores; the first ones in the model's order."""
        best, rest = ranked[:LOOKED_AT], ranked[LOOKED_AT:]
        try:
            async with deadline(self._seconds):
                found = await self._model.scores(query, [hit.text for hit, _ in best])
        except DeadlineExceeded:
            log.info("rerank.no_time", seconds=self._seconds)
            return ranked
        except asyncio.CancelledError:
            raise
        except Exception as error:
            known = isinstance(error, AppError)
            log.warning("rerank.failed", error=type(error).__name__, exc_info=None if known else error)
            return ranked
        places = sorted(range(len(best)), key=lambda place: -found[place])
        return [best[place] for place in places] + rest
