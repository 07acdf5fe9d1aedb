"""Asking the caller once more, in every era of the protocol. Nobody ever gives an implicit yes.

A client of 2026-07-28 gets the question as the result, and calls again with the answer and a sealed, single-use state.
Over stdio an older client is asked directly. Every other client cannot be asked: the matter stays pending.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from fastmcp import Context
from fastmcp.exceptions import ToolError
from mcp import MCPError
from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from sqlalchemy import Column, Float, MetaData, String, Table, delete, insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import create_tables, read_write
from common.errors import Conflict, Unavailable
from common.observability.call import request_id
from common.resilience.deadline import remaining

Verdict = Literal["yes", "no", "pending", "not asked"]
KEEP_SECONDS = 86_400.0
"""How long a used state is remembered; its seal is good for ten minutes only."""
TIME_TO_ANSWER = 0.8
"""The part of the call's own time that a person gets to answer over stdio."""
FIELD = "confirm"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {FIELD: {"type": "boolean", "title": "Do it"}},
    "required": [FIELD],
}

metadata = MetaData()
spent = Table(
    "spent_confirmations",
    metadata,
    Column("nonce", String(64), primary_key=True),
    Column("spent_at", Float, nullable=False, index=True),
)
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Question:
    """What the person is asked; without text there is nothing to ask."""

    about: str
    """What the answer is about, such as an id with a digest. It comes back sealed."""
    text: str | None


@dataclass(frozen=True)
class Answer:
    """What the person said. `pending`: this client cannot be asked, so somebody must say yes elsewhere."""

    about: str
    verdict: Verdict


@dataclass(frozen=True)
class _State:
    nonce: str
    request_id: str
    about: str


def _read(state: str | None) -> _State | None:
    try:
        return _State(**json.loads(state)) if state else None
    except (ValueError, TypeError):
        return None


def first_request_id(state: str | None) -> str | None:
    """The id of the request that asked, if this call is the answer to a question. `state` has been unsealed."""
    found = _read(state)
    return found.request_id if found else None


class Confirmations:
    """Asks, and accepts each answer once; replicas share what was used through SQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._writer = read_write(engine)

    async def open(self) -> None:
        """Make the table if it is missing."""
        async with self._writer.begin() as connection:
            await connection.run_sync(create_tables, metadata)

    async def confirm(
        self, context: Context, prepare: Callable[[], Awaitable[Question]]
    ) -> Answer | InputRequiredResult:
        """The answer, or a question that the tool must return as its result.

        `prepare` runs in the first round only; what it prepares must be durable, since another replica may get the
        second. Raises Conflict for an answer that was used already.
        """
        state = _read(context.request_state)
        if state is not None:
            await self._spend(state.nonce)
            return Answer(state.about, "yes" if _says_yes(context) else "no")
        # Answers without our state were made up: the question was never asked.
        question = await prepare()
        if question.text is None:
            return Answer(question.about, "not asked")
        if not _can_be_asked(context):
            return Answer(question.about, "pending")
        if _is_modern(context):
            return _ask_in_result(question)
        return Answer(question.about, await _ask_directly(context, question.text))

    async def _spend(self, nonce: str) -> None:
        now = time.time()
        try:
            async with self._writer.begin() as connection:
                await connection.execute(insert(spent).values(nonce=nonce, spent_at=now))
                await connection.execute(delete(spent).where(spent.c.spent_at < now - KEEP_SECONDS))
        except IntegrityError:
            raise Conflict("This answer was used already.", "Call again without it to be asked anew.") from None
        except (DBAPIError, OSError) as error:
            log.error("confirm.store_unavailable", error=type(error).__name__)
            raise Unavailable("The answer cannot be checked, so nothing was done.", "Try again later.") from None


def _is_modern(context: Context) -> bool:
    request = context.request_context
    return request is not None and request.protocol_version in MODERN_PROTOCOL_VERSIONS


def _can_be_asked(context: Context) -> bool:
    capabilities = context.session.client_capabilities
    if not capabilities or not capabilities.elicitation:
        return False
    # Without sessions there is no way back to an older client over HTTP.
    return _is_modern(context) or context.transport == "stdio"


def _ask_in_result(question: Question) -> InputRequiredResult:
    state = _State(secrets.token_urlsafe(24), request_id.get(), question.about)
    form = ElicitRequestFormParams(message=question.text or "", requested_schema=SCHEMA)
    return InputRequiredResult(
        result_type="input_required",
        request_state=json.dumps(vars(state)),
        input_requests={FIELD: ElicitRequest(method="elicitation/create", params=form)},
    )


def _says_yes(context: Context) -> bool:
    answer = (context.input_responses or {}).get(FIELD)
    content = getattr(answer, "content", None) or {}
    return getattr(answer, "action", None) == "accept" and content.get(FIELD) is True


async def _ask_directly(context: Context, text: str) -> Verdict:
    try:
        async with asyncio.timeout(remaining(60) * TIME_TO_ANSWER):
            answer: Any = await context.elicit(text, response_type=bool, response_title="Do it")
    except (TimeoutError, MCPError, ToolError) as error:
        log.info("confirm.no_answer", error=type(error).__name__)
        return "pending"
    return "yes" if answer.action == "accept" and answer.data is True else "no"
