"""The one place that reads settings and wires adapters into use cases."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from common.cache.cache import Cache
from common.cache.results import CacheResults
from common.databases import create_engine, sqlite_url
from common.http.upstream import UpstreamMetrics
from common.redis_client import connect_redis
from common.settings import CommonSettings
from support_hub.access import CustomerAccess
from support_hub.adapters.nonces import LocalNonces, RedisNonces
from support_hub.adapters.platforms import build_crms
from support_hub.adapters.sql_store import SqlCatalogue, SqlOrders, SqlProfiles, SqlStore
from support_hub.adapters.sql_writes import SqlWrites
from support_hub.adapters.webhook_readers import build_readers
from support_hub.customer import Customers, Source
from support_hub.people import PeopleSearch
from support_hub.ports import Crm
from support_hub.search import TicketSearch
from support_hub.settings import SupportSettings
from support_hub.sources import CachedSource, CrmSource, OrdersSource, ProfilesSource
from support_hub.tickets import Tickets
from support_hub.webhooks import Webhooks

if TYPE_CHECKING:
    from redis.asyncio import Redis


@dataclass(frozen=True)
class SupportHub:
    """The use cases, and what they stand on."""

    settings: SupportSettings
    access: CustomerAccess
    crms: Sequence[Crm]
    store: SqlStore
    orders: SqlOrders
    catalogue: SqlCatalogue
    cache: Cache
    upstreams: UpstreamMetrics
    redis: "Redis | None"
    customers: Customers
    people: PeopleSearch
    search: TicketSearch
    tickets: Tickets
    webhooks: Webhooks


def build_support_hub(
    common: CommonSettings, settings: SupportSettings, registry: CollectorRegistry | None = None
) -> SupportHub:
    """Wire everything; nothing is opened yet. Raises SettingsError."""
    engine = create_engine(database_url(common, settings), common.ca_file, follow=settings.follow("postgres_url"))
    redis = _redis(common, settings)
    cache = Cache(redis, "triptych:support:", results=CacheResults(registry))
    upstreams = UpstreamMetrics(registry)
    crms = build_crms(settings, upstreams)
    orders = SqlOrders(engine)
    sources = build_sources(settings, cache, crms, orders, SqlProfiles(engine))
    return SupportHub(
        settings=settings,
        access=CustomerAccess(settings.tenant, settings.groups),
        crms=crms,
        store=SqlStore(engine),
        orders=orders,
        catalogue=SqlCatalogue(engine),
        cache=cache,
        upstreams=upstreams,
        redis=redis,
        customers=Customers(sources, settings.prefer, settings.source_seconds),
        people=PeopleSearch(crms, settings.source_seconds),
        search=TicketSearch(crms, settings.source_seconds),
        tickets=Tickets(crms, SqlWrites(engine), cache),
        webhooks=Webhooks(build_readers(settings), RedisNonces(redis) if redis else LocalNonces(), cache),
    )


def database_url(common: CommonSettings, settings: SupportSettings) -> str:
    """Of orders, products and profiles."""
    if settings.postgres_url is not None:
        return settings.postgres_url.get_secret_value()
    return sqlite_url(settings.folder(common.data_dir) / "support.db")


def build_sources(
    settings: SupportSettings, cache: Cache, crms: Sequence[Crm], orders: SqlOrders, profiles: SqlProfiles
) -> list[Source]:
    """Everything that is asked about a customer. A fourth platform joins `crms`, see docs/support-hub.md."""

    def cached(name: str) -> CachedSource:
        seconds = settings.source_seconds
        return CachedSource(name, cache, settings.fresh_seconds, settings.stale_seconds, seconds)

    found: list[Source] = [CrmSource(crm, cached(crm.name)) for crm in crms]
    return [*found, OrdersSource(orders, cached("orders")), ProfilesSource(profiles, cached("profiles"))]


@asynccontextmanager
async def opened(hub: SupportHub) -> AsyncIterator[SupportHub]:
    """Open the database and the cache; close everything at the end."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(hub.store.engine.dispose)
        for crm in hub.crms:
            stack.push_async_callback(crm.close)
        if hub.redis is not None:
            stack.push_async_callback(hub.redis.aclose)
        await hub.store.open()
        await stack.enter_async_context(hub.cache.opened())
        yield hub


def _redis(common: CommonSettings, settings: SupportSettings) -> "Redis | None":
    url = settings.redis_url or common.redis_url
    follow = settings.follow("redis_url") if settings.redis_url else common.follow("redis_url")
    return connect_redis(url.get_secret_value(), common.ca_file, follow) if url else None
