"""Commands that change something are audited like calls: intent before, outcome after."""

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from common.databases import create_engine
from common.errors import AppError
from common.observability.call import new_request_id, request_id
from common.security.audit import AuditLog, AuditRecord, AuditUnavailable, audit_database_url, checkpoint_path
from common.security.following import record_accesses
from common.security.secret_cache import known_cache
from common.security.signing import load_signing_key
from common.settings import CommonSettings


def operator_name() -> str:
    """Who runs this command, as the audit log names them."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container's user often has no name
        return f"cli:{os.getuid()}"


@asynccontextmanager
async def audited_command(
    settings: CommonSettings, action: str, tenant: str, **detail: Any
) -> AsyncIterator[dict[str, Any]]:
    """Record a command; what it puts into the yielded dict is recorded with its outcome.

    Raises AuditUnavailable before anything is done if the log cannot be written.
    """
    engine = create_engine(audit_database_url(settings), settings.ca_file, follow=settings.follow("database_url"))
    who = {"request_id": new_request_id(), "subject": operator_name(), "tenant": tenant}
    token = request_id.set(who["request_id"])
    try:
        async with AuditLog(
            engine, "cli", load_signing_key(settings), checkpoint_path(settings), settings.audit_checkpoint_seconds
        ) as audit:
            await audit.write(AuditRecord("intent", action, **who, detail=detail))
            found: dict[str, Any] = {}
            outcome = "ok"
            try:
                yield found
            except BaseException as error:
                outcome = error.code if isinstance(error, AppError) else "error"
                raise
            finally:
                if cache := known_cache(settings):
                    record_accesses(cache, audit, "cli")
                with suppress(AuditUnavailable):
                    await audit.write(AuditRecord("outcome", action, **who, outcome=outcome, detail=found))
    finally:
        request_id.reset(token)
        await engine.dispose()
