"""The one place that reads settings and wires adapters into use cases."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from common.cache.cache import Cache
from common.cache.results import CacheResults
from common.databases.replicas import Replicated
from common.databases.unified import UnifiedQuery
from common.errors import DeadlineExceeded, Unavailable
from common.http.upstream import UpstreamMetrics
from common.redis_client import connect_redis
from common.resilience.deadline import deadline
from common.security.encryption import load_keyring
from common.security.nonces import LocalNonces, RedisNonces
from common.settings import CommonSettings
from support_hub.access import CustomerAccess
from support_hub.adapters.marks import LocalMarks, RedisMarks
from support_hub.adapters.platforms import build_crms
from support_hub.adapters.sql_catalogue import SqlCatalogue
from support_hub.adapters.sql_merges import SqlMerges
from support_hub.adapters.sql_orders import SqlOrders
from support_hub.adapters.sql_store import SqlStore
from support_hub.adapters.sql_writes import SqlWrites
from support_hub.adapters.webhook_readers import build_readers
from support_hub.attention import Attention
from support_hub.bootstrap_databases import build_database, build_profiles, build_unified_query
from support_hub.customer import Customers, Source
from support_hub.merges import Merges
from support_hub.people import PeopleSearch
from support_hub.ports import Crm, Marks, Orders, Profiles
from support_hub.search import TicketSearch
from support_hub.settings import SupportSettings
from support_hub.sources import CachedSource, CrmSource, OrdersSource, ProfilesSource
from support_hub.tickets import Tickets
from support_hub.webhooks import Webhooks

if TYPE_CHECKING:
    from redis.asyncio import Redis

OPEN_SECONDS = 5.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SupportHub:
    """The use cases, and what they stand on."""

    settings: SupportSettings
    access: CustomerAccess
    crms: Sequence[Crm]
    database: Replicated
    store: SqlStore
    orders: SqlOrders
    profiles: Profiles
    catalogue: SqlCatalogue
    cache: Cache
    upstreams: UpstreamMetrics
    redis: "Redis | None"
    customers: Customers
    people: PeopleSearch
    merges: Merges
    search: TicketSearch
    tickets: Tickets
    webhooks: Webhooks
    attention: Attention
    unified_query: UnifiedQuery


def build_support_hub(
    common: CommonSettings, settings: SupportSettings, registry: CollectorRegistry | None = None
) -> SupportHub:
    """Wire everything; nothing is opened yet. Raises SettingsError."""
    keys, redis = load_keyring(common), _redis(common, settings)
    database = build_database(common, settings, redis)
    cache = Cache(redis, "triptych:support:", results=CacheResults(registry), keys=keys)
    upstreams = UpstreamMetrics(registry)
    crms = build_crms(settings, upstreams)
    orders, profiles = SqlOrders(database, keys), build_profiles(common, settings, database, keys)
    marks: Marks = RedisMarks(redis, "triptych:support:marks:", keys) if redis else LocalMarks()
    sources = build_sources(settings, cache, crms, orders, profiles)
    people = PeopleSearch(crms, settings.source_seconds)
    merges = Merges(SqlMerges(database, keys), crms, people, cache)
    return SupportHub(
        settings=settings,
        access=CustomerAccess(settings.tenant, settings.groups),
        crms=crms,
        database=database,
        store=SqlStore(database, keys),
        orders=orders,
        profiles=profiles,
        catalogue=SqlCatalogue(database),
        cache=cache,
        upstreams=upstreams,
        redis=redis,
        customers=Customers(sources, settings.prefer, settings.source_seconds, merges),
        people=people,
        merges=merges,
        search=TicketSearch(crms, settings.source_seconds),
        tickets=Tickets(crms, SqlWrites(database.primary, keys), cache),
        webhooks=Webhooks(
            build_readers(settings), RedisNonces(redis, "triptych:support:nonce:") if redis else LocalNonces(), cache
        ),
        attention=Attention(marks),
        unified_query=build_unified_query(settings, orders, profiles, marks),
    )


def build_sources(
    settings: SupportSettings, cache: Cache, crms: Sequence[Crm], orders: Orders, profiles: Profiles
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
        stack.push_async_callback(hub.store.close)
        stack.push_async_callback(hub.profiles.close)
        for crm in hub.crms:
            stack.push_async_callback(crm.close)
        if hub.redis is not None:
            stack.push_async_callback(hub.redis.aclose)
        await hub.store.open()
        await _open_profiles(hub.profiles)
        await stack.enter_async_context(hub.cache.opened())
        yield hub


async def _open_profiles(profiles: Profiles) -> None:
    """Without them the hub still knows what all others know."""
    try:
        async with deadline(OPEN_SECONDS):
            await profiles.open()
    except (Unavailable, DeadlineExceeded) as error:
        log.warning("support_hub.profiles_away", error=type(error).__name__)


def _redis(common: CommonSettings, settings: SupportSettings) -> "Redis | None":
    url = settings.redis_url or common.redis_url
    follow = settings.follow("redis_url") if settings.redis_url else common.follow("redis_url")
    return connect_redis(url.get_secret_value(), common.ca_file, follow) if url else None
