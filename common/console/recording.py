"""A visit that reads somebody's data is limited and audited as a call is: intent before, outcome after."""

import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from common.errors import RateLimited
from common.middleware import outcome_of
from common.observability.call import request_id
from common.runtime import Runtime
from common.security.audit import AuditRecord, AuditUnavailable
from common.security.principal import Principal


@asynccontextmanager
async def recorded(
    runtime: Runtime, who: Principal, action: str, detail: dict[str, Any], durable: bool = False
) -> AsyncIterator[None]:
    """Raises RateLimited, and AuditUnavailable if it cannot be recorded. `durable` waits until the record is safe."""
    started = time.perf_counter()
    wait = await runtime.limiter.acquire(f"{who.tenant}/{who.subject}")
    if wait:
        raise RateLimited("Too many requests.", "Slow down.", retry_after=wait)
    names = {"action": action, "request_id": request_id.get(), "subject": who.subject, "tenant": who.tenant}
    await _write(runtime, AuditRecord("intent", **names, detail=detail), durable)
    outcome = "ok"
    try:
        yield
    except BaseException as error:
        outcome = outcome_of(error)
        raise
    finally:
        spent = {"ms": round((time.perf_counter() - started) * 1000, 2)}
        with contextlib.suppress(AuditUnavailable):
            await _write(runtime, AuditRecord("outcome", **names, outcome=outcome, detail=spent), durable)


async def _write(runtime: Runtime, record: AuditRecord, durable: bool) -> None:
    if durable:
        await runtime.audit.write(record)
    else:
        runtime.audit.append(record)
