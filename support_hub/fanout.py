"""Asks all sources at once, and takes what arrives in time (pattern 2: orchestrator)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import structlog

from common.errors import AppError, DeadlineExceeded, Denied, NotFound
from common.resilience.deadline import deadline

T = TypeVar("T")
State = Literal["ok", "stale", "timeout", "error", "not_found", "forbidden"]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Arrived(Generic[T]):
    """What came of one question. `value` is there if the state is `ok` or `stale`."""

    state: State
    seconds: float
    value: T | None = None
    fetched_at: float | None = None
    """When the source was read, in seconds since 1970."""
    note: str = ""
    """What the user can be told about a failure."""

    @property
    def answered(self) -> bool:
        """Whether nothing is missing for want of an answer."""
        return self.state in ("ok", "stale", "not_found")


@dataclass(frozen=True)
class Read(Generic[T]):
    """A value and when it was read; `is_stale` if its source could not be asked again."""

    value: T
    at: float
    is_stale: bool = False


async def ask_all(questions: Mapping[str, Callable[[], Awaitable[Read[T]]]], seconds: float) -> dict[str, Arrived[T]]:
    """Every question's answer or failure; the slowest takes `seconds`. Nothing that a source does is raised."""
    found = await asyncio.gather(
        *[_ask(name, question, seconds) for name, question in questions.items()], return_exceptions=True
    )
    answers = {}
    for name, answer in zip(questions, found, strict=True):
        if isinstance(answer, BaseException):
            if not isinstance(answer, Exception):
                raise answer
            log.error("fanout.source_failed", source=name, exc_info=answer)
            answer = Arrived[T]("error", 0.0, note="The source failed.")
        answers[name] = answer
    return answers


def worst(answers: Iterable[Mapping[str, Arrived[Any]]]) -> dict[str, Arrived[Any]]:
    """Of each source that was asked several times the answer that is missing, if one is."""
    found: dict[str, Arrived[Any]] = {}
    for name, arrived in ((name, arrived) for each in answers for name, arrived in each.items()):
        if name not in found or found[name].answered:
            found[name] = arrived
    return found


async def _ask(name: str, question: Callable[[], Awaitable[Read[T]]], seconds: float) -> Arrived[T]:
    started = time.monotonic()

    def after(state: State, note: str) -> Arrived[T]:
        return Arrived(state, time.monotonic() - started, note=note)

    try:
        async with deadline(seconds):
            read = await question()
    except DeadlineExceeded as error:
        return after("timeout", str(error))
    except NotFound as error:
        return after("not_found", str(error))
    except Denied as error:
        return after("forbidden", str(error))
    except AppError as error:
        return after("error", str(error))
    return Arrived("stale" if read.is_stale else "ok", time.monotonic() - started, read.value, read.at)
