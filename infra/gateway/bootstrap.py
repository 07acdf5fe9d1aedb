"""The one place that reads the gateway's settings and wires its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from common.http.upstream import UpstreamMetrics
from common.resilience.breaker import Breaker
from common.resilience.bulkhead import Bulkhead
from common.runtime import Runtime
from infra.gateway.catalogue import Catalogue
from infra.gateway.domain import Domain, Replica
from infra.gateway.domains import Domains
from infra.gateway.health import HealthChecks
from infra.gateway.lists import Lists
from infra.gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Gateway:
    """The parts."""

    domains: Domains
    catalogues: list[Catalogue]
    lists: Lists
    checks: HealthChecks


def build_gateway(settings: GatewaySettings, runtime: Runtime) -> Gateway:
    """Wire everything; nothing is opened yet. Raises SettingsError."""
    metrics = UpstreamMetrics(runtime.metrics.registry)
    domains = [_domain(prefix, urls, settings, metrics) for prefix, urls in settings.domains.items()]
    catalogues = [Catalogue(domain, settings) for domain in domains]
    return Gateway(
        domains=Domains({domain.prefix: domain for domain in domains}),
        catalogues=catalogues,
        lists=Lists(catalogues, settings.list_wait_seconds),
        checks=HealthChecks(domains, settings.health_path, settings.health_seconds, settings.health_timeout_seconds),
    )


def _domain(prefix: str, urls: list[str], settings: GatewaySettings, metrics: UpstreamMetrics) -> Domain:
    from infra.gateway.adapters.aiohttp_wire import AiohttpWire

    limits = settings.limits_of(prefix)
    replicas = [
        Replica(name, url, Breaker(name), metrics.of(name))
        for name, url in ((f"{prefix}/{number}", url) for number, url in enumerate(urls, 1))
    ]
    bulkhead = Bulkhead(prefix, limits.concurrency, limits.queue, limits.queue_seconds)
    return Domain(prefix, replicas, limits, bulkhead, AiohttpWire(urls, limits.concurrency), settings.health_seconds)


@asynccontextmanager
async def opened(gateway: Gateway) -> AsyncIterator[None]:
    """Watch the replicas; close all connections at the end."""
    gateway.checks.start()
    try:
        yield
    finally:
        await gateway.checks.stop()
        for catalogue in gateway.catalogues:
            await catalogue.close()
        for domain in gateway.domains:
            await domain.wire.close()
