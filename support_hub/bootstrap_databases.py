"""Wires the hub's own databases: which of them there are is a matter of settings."""

from typing import TYPE_CHECKING

from common.databases import create_engine, sqlite_url
from common.databases.positions import LocalPositions
from common.databases.replicas import ReplicaLimits, Replicated
from common.databases.unified import UnifiedQuery
from common.errors import SettingsError
from common.security.encryption import Keyring
from common.settings import CommonSettings
from support_hub.adapters.sql_profiles import SqlProfiles
from support_hub.ports import Marks, Orders, Profiles
from support_hub.settings import SupportSettings
from support_hub.sources import MOST_ORDERS

if TYPE_CHECKING:
    from redis.asyncio import Redis


def build_database(common: CommonSettings, settings: SupportSettings, redis: "Redis | None" = None) -> Replicated:
    """Of orders and products. Raises SettingsError."""
    if settings.postgres_url is None:
        if settings.postgres_replica_urls:
            raise SettingsError("SUPPORT_POSTGRES_REPLICA_URLS needs SUPPORT_POSTGRES_URL, the primary of these")
        return Replicated(create_engine(sqlite_url(settings.folder(common.data_dir) / "support.db")))
    url, follow = settings.postgres_url.get_secret_value(), settings.follow("postgres_url")
    primary = create_engine(url, common.ca_file, follow=follow)
    replicas = [create_engine(each.get_secret_value(), common.ca_file) for each in settings.postgres_replica_urls]
    limits = ReplicaLimits(lag=settings.replica_lag_seconds)
    if redis is None:
        return Replicated(primary, replicas, limits, LocalPositions())
    from common.databases.redis_positions import RedisPositions

    return Replicated(primary, replicas, limits, RedisPositions(redis, "triptych:support:written:"))


def build_profiles(common: CommonSettings, settings: SupportSettings, database: Replicated, keys: Keyring) -> Profiles:
    """In MongoDB, or beside the orders. Raises SettingsError."""
    if settings.mongodb_url is None:
        return SqlProfiles(database, keys)
    # Imported here, since it costs every start its driver.
    from common.databases.mongodb import connect_mongodb
    from support_hub.adapters.mongo_profiles import MongoProfiles

    return MongoProfiles(connect_mongodb(settings.mongodb_url.get_secret_value(), common.ca_file), keys)


def build_unified_query(settings: SupportSettings, orders: Orders, profiles: Profiles, marks: Marks) -> UnifiedQuery:
    """What the hub's own databases know of a customer, by address, and of an order, by number."""

    async def orders_of(email: str) -> object:
        return await orders.of([email], MOST_ORDERS) or None

    async def marks_of(email: str) -> object:
        return await marks.of([email]) or None

    customer = {"orders": orders_of, "profile": lambda email: profiles.get([email]), "marks": marks_of}
    return UnifiedQuery({"customer": customer, "order": {"orders": orders.get}}, settings.source_seconds)
