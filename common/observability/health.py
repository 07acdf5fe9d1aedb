"""Liveness and readiness: each dependency by name, with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

log = structlog.get_logger(__name__)
Check = Callable[[], Awaitable[object]]


@dataclass
class Health:
    """Named checks. A critical one that fails makes the server not ready."""

    critical: dict[str, Check] = field(default_factory=dict)
    optional: dict[str, Check] = field(default_factory=dict)
    draining: bool = False
    timeout_seconds: float = 2.0

    async def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Whether to send calls here, and the state of each dependency."""
        names = [*self.critical, *self.optional]
        states = await asyncio.gather(*(self._state(name) for name in names))
        checks = dict(zip(names, states, strict=True))
        ready = not self.draining and all(checks[name] == "ok" for name in self.critical)
        status = "draining" if self.draining else "ready" if ready else "not ready"
        return ready, {"status": status, "checks": checks}

    async def _state(self, name: str) -> str:
        check = self.critical.get(name) or self.optional[name]
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await check()
        except TimeoutError:
            return "timeout"
        except Exception as error:
            # The reason is for the log: the endpoint is open to everyone.
            log.warning("health.check_failed", check=name, error=f"{type(error).__name__}: {error}")
            return "failed"
        return "ok"
