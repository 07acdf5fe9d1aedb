"""A connection to Redis or Valkey, for what may do without it at any moment."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from common.security.secrets import Rotating

CONNECTIONS = 20
PATIENCE_SECONDS = 0.5
"""For a connection of the pool, for opening it, and for each answer."""


def connect_redis(url: str, ca_file: Path | None = None, follow: "Rotating | None" = None) -> "Redis":
    """Nothing is opened yet. With `rediss://` the server's certificate and name are checked.

    `follow` is the URL as a secret that may change.
    Whatever stands in Redis may make a call slower, not wait: short timeouts, no retries. When all connections are in
    use the next call has its turn after them: that is no outage. A subscription keeps one for itself until it ends.
    """
    # Imported here, since it costs every start a third of a second.
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    tls: dict[str, Any] = {}
    if url.startswith("rediss:"):
        tls = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        if ca_file is not None:
            tls["ssl_ca_certs"] = str(ca_file)
    pool = BlockingConnectionPool.from_url(
        url,
        timeout=PATIENCE_SECONDS,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),
        max_connections=CONNECTIONS,
        **tls,
    )
    if follow is not None:
        from common.security.rotating_redis import follow_password

        follow_password(pool, follow)
    return Redis.from_pool(pool)
