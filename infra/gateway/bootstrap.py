"""The one place that reads the gateway's settings and wires its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.http.upstream import UpstreamMetrics
from common.observability.health import Check
from common.resilience.breaker import Breaker
from common.resilience.bulkhead import Bulkhead
from common.runtime import Runtime
from infra.gateway.catalogue import Catalogue
from infra.gateway.domain import Domain, Replica
from infra.gateway.domains import Domains
from infra.gateway.health import HealthChecks
from infra.gateway.lists import Lists
from infra.gateway.passport import ExchangedToken, Issuer, OwnToken, Passport
from infra.gateway.policy import DomainPolicy
from infra.gateway.settings import Exchange, GatewaySettings

if TYPE_CHECKING:
    from infra.gateway.adapters.token_exchange import TokenExchange

POLICY = Path(__file__).parent / "policies" / "gateway.cedar"


@dataclass(frozen=True)
class Gateway:
    """The parts."""

    domains: Domains
    catalogues: list[Catalogue]
    lists: Lists
    policy: DomainPolicy
    issuers: "list[TokenExchange]"
    checks: HealthChecks


def build_gateway(settings: GatewaySettings, runtime: Runtime) -> Gateway:
    """Wire everything; nothing is opened yet. Raises SettingsError."""
    metrics = UpstreamMetrics(runtime.metrics.registry)
    issuers = {prefix: _issuer(prefix, each, metrics) for prefix, each in settings.exchange.items()}
    domains = [
        _domain(prefix, urls, settings, metrics, issuers.get(prefix), runtime.settings.ca_file)
        for prefix, urls in settings.domains.items()
    ]
    catalogues = [Catalogue(domain, settings) for domain in domains]
    for domain in domains:
        _name_in_health(runtime, domain)
    policy = DomainPolicy([settings.policy or POLICY])
    return Gateway(
        domains=Domains({domain.prefix: domain for domain in domains}),
        catalogues=catalogues,
        lists=Lists(catalogues, policy, settings.list_wait_seconds),
        policy=policy,
        issuers=list(issuers.values()),
        checks=HealthChecks(domains, settings.health_path, settings.health_seconds, settings.health_timeout_seconds),
    )


def _issuer(prefix: str, exchange: Exchange, metrics: UpstreamMetrics) -> "TokenExchange":
    from infra.gateway.adapters.token_exchange import TokenExchange

    return TokenExchange(prefix, exchange, metrics)


def _domain(
    prefix: str,
    urls: list[str],
    settings: GatewaySettings,
    metrics: UpstreamMetrics,
    issuer: Issuer | None,
    ca_file: Path | None,
) -> Domain:
    from infra.gateway.adapters.aiohttp_wire import AiohttpWire

    limits = settings.limits_of(prefix)
    replicas = [
        Replica(name, url, Breaker(name), metrics.of(name))
        for name, url in ((f"{prefix}/{number}", url) for number, url in enumerate(urls, 1))
    ]
    bulkhead = Bulkhead(prefix, limits.concurrency, limits.queue, limits.queue_seconds)
    passport: Passport = ExchangedToken(prefix, issuer) if issuer else OwnToken()
    return Domain(prefix, replicas, limits, bulkhead, AiohttpWire(urls, ca_file), passport, settings.health_seconds)


def _name_in_health(runtime: Runtime, domain: Domain) -> None:
    """One that is down makes the gateway not unready: the others go on."""

    async def domain_up() -> None:
        if not domain.up:
            raise RuntimeError("no replica can be used")

    def up(replica: Replica) -> Check:
        async def replica_up() -> None:
            if not replica.usable:
                raise RuntimeError(f"{replica.state}, breaker {replica.breaker.state}")

        return replica_up

    runtime.health.optional[domain.prefix] = domain_up
    runtime.health.optional |= {replica.name: up(replica) for replica in domain.replicas}


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
        for issuer in gateway.issuers:
            await issuer.close()
