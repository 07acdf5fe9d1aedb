"""How platforms are connected to, as far as they are alike."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from common.errors import Denied
from common.http.credentials import Token
from common.http.status import ReadQuota, no_quota
from common.http.upstream import Pause, Upstream
from common.resilience.breaker import BreakerLimits
from common.resilience.retry import RetryLimits
from support_hub.settings import SupportSettings

FetchToken: TypeAlias = Callable[[Mapping[str, str]], Awaitable[Token]]
ATTEMPT_SHARE = 0.6
"""Of the time for a source: a try that stalls leaves time for another."""
BREAKER = BreakerLimits(least_calls=5, open_for=5.0)
CONNECTIONS = 20


def upstream(
    name: str,
    url: str,
    seconds: float,
    rate: float,
    pause: Pause,
    quota: ReadQuota = no_quota,
    retries: RetryLimits | None = None,
) -> Upstream:
    """A platform that has `seconds` for a call."""
    return Upstream(
        name=name,
        url=url,
        deadline=seconds,
        attempt=seconds * ATTEMPT_SHARE,
        connections=CONNECTIONS,
        rate=rate,
        burst=max(1, int(rate * 2)),
        pause=pause,
        quota=quota,
        retries=retries or RetryLimits(),
        breaker=BREAKER,
    )


async def with_secret(
    settings: SupportSettings,
    field: str,
    form: Mapping[str, str],
    fetch: FetchToken,
) -> Token:
    """Fetch a token with the client secret as it is now; one that is refused is looked up again, and others tried.

    Raises what `fetch` raises.
    """
    follow = settings.follow(field)
    tried: list[str] = []
    while True:
        values = follow.candidates() if follow else [str(settings.current(field))]
        secret = next((value for value in values if value not in tried), values[0])
        try:
            return await fetch({**form, "client_secret": secret})
        except Denied:
            tried.append(secret)
            if follow is None or not await asyncio.to_thread(follow.look):
                raise
            if set(follow.candidates()) <= set(tried):
                raise


def as_seconds(value: str | None) -> float:
    """A header's number, or 0."""
    try:
        return max(0.0, float(value or 0))
    except ValueError:
        return 0.0
