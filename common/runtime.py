"""What every server of the suite has: settings, keys, policy, audit, limits, metrics, health."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import create_engine
from common.observability.health import Health
from common.observability.metrics import Metrics
from common.observability.traces import Traces
from common.observability.tracing import configure_tracing
from common.redis_client import connect_redis
from common.resilience.failures import FailureLimit
from common.resilience.rate_limit import LocalRateLimiter, RateLimiter
from common.security.api_key_stores import SqlApiKeys, build_api_keys
from common.security.audit import AuditLog, audit_database_url, checkpoint_path
from common.security.following import following_secrets
from common.security.identity import Credentials
from common.security.policy import ToolPolicy
from common.security.principal import Principal
from common.security.signing import Keys, load_signing_key
from common.settings import CommonSettings

CONSOLE_POLICY = Path(__file__).parent / "policies" / "console.cedar"

if TYPE_CHECKING:
    from redis.asyncio import Redis


@dataclass(frozen=True)
class Runtime:
    """The shared parts of one server. Nothing in it is started before `opened`."""

    name: str
    settings: CommonSettings
    key: Keys
    credentials: Credentials
    policy: ToolPolicy
    engine: AsyncEngine
    audit: AuditLog
    limiter: RateLimiter
    failures: FailureLimit
    redis: "Redis | None"
    metrics: Metrics
    traces: Traces
    health: Health

    @property
    def stdio_principal(self) -> Principal:
        """Who calls over stdio: the person who started the process."""
        return Principal(self.settings.stdio_identity, "local", frozenset({"user"}), clearance="internal")

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Start what runs in the background; stop and close it at the end."""
        stop_tracing = configure_tracing(self.name, self.settings.otlp_endpoint)
        try:
            if isinstance(self.credentials.keys, SqlApiKeys):
                await self.credentials.keys.open()
            async with self.audit, following_secrets(self.settings, self.audit, self.name):
                yield
        finally:
            await self.engine.dispose()
            if self.redis is not None:
                await self.redis.aclose()
            stop_tracing()


def build_runtime(name: str, settings: CommonSettings, policies: Sequence[Path]) -> Runtime:
    """Wire the shared parts. Raises SettingsError for what cannot work."""
    key = load_signing_key(settings)
    engine = create_engine(audit_database_url(settings), settings.ca_file, follow=settings.follow("database_url"))
    audit = AuditLog(engine, name, key, checkpoint_path(settings), settings.audit_checkpoint_seconds)
    redis = _redis(settings)
    health = Health()
    metrics = Metrics(name)

    async def audit_writable() -> None:
        if not audit.healthy:
            raise RuntimeError("the audit log cannot be written")

    health.critical["audit"] = audit_writable
    metrics.audit_healthy.labels(name).set_function(lambda: float(audit.healthy))
    metrics.audit_backlog.labels(name).set_function(lambda: float(audit.backlog))
    if redis is not None:
        health.optional["redis"] = redis.ping
    return Runtime(
        name=name,
        settings=settings,
        key=key,
        credentials=Credentials(settings, key, build_api_keys(settings, engine)),
        policy=ToolPolicy(name, [CONSOLE_POLICY, *policies]),
        engine=engine,
        audit=audit,
        limiter=_limiter(settings, redis, metrics),
        failures=_failures(settings, redis),
        redis=redis,
        metrics=metrics,
        traces=Traces(audit.writer),
        health=health,
    )


def _redis(settings: CommonSettings) -> "Redis | None":
    if settings.redis_url is None:
        return None
    return connect_redis(settings.redis_url.get_secret_value(), settings.ca_file, follow=settings.follow("redis_url"))


def _limiter(settings: CommonSettings, redis: "Redis | None", metrics: Metrics) -> RateLimiter:
    rate, burst = settings.rate_limit_per_second, settings.rate_limit_burst
    if redis is None:
        return LocalRateLimiter(rate, burst)
    from common.resilience.redis_rate_limit import RedisRateLimiter

    on_outage = metrics.unshared_limits.labels(metrics.server).inc
    return RedisRateLimiter(redis, rate, burst, settings.rate_limit_outage, on_outage=on_outage)


def _failures(settings: CommonSettings, redis: "Redis | None") -> FailureLimit:
    rate, burst = settings.sign_in_failures_per_minute / 60, settings.sign_in_failures_per_minute
    if redis is None:
        return FailureLimit(LocalRateLimiter(rate, burst))
    from common.resilience.redis_rate_limit import RedisRateLimiter

    # An outage must neither lock everybody out nor let anybody guess.
    return FailureLimit(RedisRateLimiter(redis, rate, burst, "local", "triptych:sign-in-failures:"))
