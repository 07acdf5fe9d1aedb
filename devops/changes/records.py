"""What changes leave in the audit log: the intent before, durable, and the outcome after."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from common.errors import AppError
from common.observability.call import new_request_id, request_id
from common.security.audit import AuditLog, AuditRecord, AuditUnavailable
from devops.changes.change import Draft
from devops.changes.people import Actor


class Recorded:
    """An outcome that the block may set."""

    outcome = "ok"


class Records:
    """Writes them. Without a durable intent the block does not run: AuditUnavailable is raised."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

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
