"""A connection to Redis or Valkey, for what may do without it at any moment."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from common.security.secrets import Rotating


def connect_redis(url: str, ca_file: Path | None = None, follow: "Rotating | None" = None) -> "Redis":
    """Nothing is opened yet. With `rediss://` the server's certificate and name are checked.

    `follow` is the URL as a secret that may change.
    Whatever stands in Redis may make a call slower, not wait: short timeouts, no retries.
    """
    # Imported here, since it costs every start a third of a second.
    from redis.asyncio import ConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    tls: dict[str, Any] = {}
    if url.startswith("rediss:"):
        tls = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        if ca_file is not None:
            tls["ssl_ca_certs"] = str(ca_file)
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=0.5,
        socket_connect_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
        max_connections=20,
        **tls,
    )
    if follow is not None:
        from common.security.rotating_redis import follow_password

        follow_password(pool, follow)
    return Redis.from_pool(pool)
