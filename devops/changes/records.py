"""What changes leave in the audit log: the intent before, durable, and the outcome after."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from common.errors import AppError
from common.observability.call import new_request_id, request_id
from common.observability.traces import Traces
from common.security.audit import AuditLog, AuditRecord, AuditUnavailable
from devops.changes.change import Draft
from devops.changes.people import Actor


class Recorded:
    """An outcome that the block may set."""

    outcome = "ok"


class Records:
    """Writes them. Without a durable intent the block does not run: AuditUnavailable is raised."""

    def __init__(self, audit: AuditLog, traces: Traces) -> None:
        self._audit = audit
        self._traces = traces

    @contextmanager
    def by_itself(self, action: str, actor: Actor) -> Iterator[None]:
        """Work in the background that is a request of its own, with an id; its steps are kept as those of a call."""
        identifier = new_request_id()
        token = request_id.set(identifier)
        try:
            with self._traces.recorded(identifier, "server", action) as trace:
                trace.tenant, trace.subject = actor.tenant, actor.subject
                try:
                    yield
                except Exception:
                    # It is tried again and again: what left no record has an id that nobody knows.
                    trace.is_kept = any(step.layer == "audit" for step in trace.steps)
                    raise
        finally:
            request_id.reset(token)

    @asynccontextmanager
    async def around(self, action: str, draft: Draft, actor: Actor, **detail: Any) -> AsyncIterator[Recorded]:
        """Record what the block is about to do, and what became of it."""
        identifier = request_id.get() or new_request_id()
        what = {"change": draft.id, "digest": draft.digest, "tool": draft.tool, "target": str(draft.target), **detail}
        base = (action, identifier, actor.subject, actor.tenant)
        await self._audit.write(AuditRecord("intent", *base, detail=what))
        result = Recorded()
        try:
            yield result
        except BaseException as error:
            result.outcome = error.code if isinstance(error, AppError) else "error"
            raise
        finally:
            # What was done is done: an intent without outcome is visible, too.
            with contextlib.suppress(AuditUnavailable):
                await self._audit.write(
                    AuditRecord("outcome", *base, outcome=result.outcome, detail={"change": draft.id})
                )
