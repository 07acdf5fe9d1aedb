"""An HTTP client that stays within its time, its rate and its memory, whatever the other side does."""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import structlog
from yarl import URL

from common.errors import AppError, DeadlineExceeded, RateLimited, Unavailable
from common.http.credentials import Credentials, FixedHeaders
from common.http.guard import GuardedResolver, base_url, is_private_by_name, within
from common.http.status import Quota, Trouble, UpstreamStatus, no_quota
from common.http.upstream import Upstream, UpstreamMetrics, no_pause
from common.observability.traces import step
from common.resilience.breaker import Breaker
from common.resilience.deadline import ends_at, remaining
from common.resilience.rate_limit import Pace
from common.resilience.retry import RetryBudget, backoff, retry_after
from common.tls import client_context

SAFE = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
"""Methods that may be sent twice (RFC 9110, 9.2.2). A POST may if the caller says so."""
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
NOT_NOW = {429, 503}
"""Answers that may name a pause."""
LONGEST_PAUSE = 300.0
"""Seconds: one answer must not hold back all requests for longer, whatever it asks for."""
KEEPALIVE_SECONDS = 30.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Request:
    """One request. `target` is a path below the upstream's URL, or a link of the same origin."""

    method: str
    target: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """Sent as JSON."""
    form: Mapping[str, str] | None = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    """Sent as it is, for a body that is signed."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    repeatable: bool = False
    """A POST that only reads, or that carries a key by which the server knows a repetition."""


class Answer(NamedTuple):
    """Status, headers and whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises Unavailable, since a broken body is the upstream's fault."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Unavailable("The upstream's answer is not JSON.", "Try again later.") from None


@dataclass(slots=True)
class Call:
    """A request with all its tries, and when its time is over (monotonic clock)."""

    request: Request
    url: URL
    ends_at: float

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends_at - time.monotonic()


class Failed(Unavailable):
    """A try without a usable answer. `sent`: the upstream may have done what was asked."""

    def __init__(self, message: str, sent: bool) -> None:
        super().__init__(message, "Try again later.")
        self.sent = sent


class ResilientClient:
    """All calls to one upstream: pooled, limited, retried where that is safe, and cut off while it is down."""

    def __init__(
        self, upstream: Upstream, credentials: Credentials | None = None, metrics: UpstreamMetrics | None = None
    ) -> None:
        self.upstream = upstream
        self.breaker = Breaker(upstream.name, upstream.breaker)
        self._base = base_url(upstream.url)
        self._credentials = credentials or FixedHeaders({})
        metrics = metrics or UpstreamMetrics()
        self._meter = metrics.of(upstream.name)
        metrics.watch(self.status)
        self._budget = RetryBudget(upstream.retries)
        self._pace = Pace(upstream.rate, upstream.burst)
        self._paused_until = 0.0
        self._session: aiohttp.ClientSession | None = None
        self._told: Quota | None = None
        self._is_mute = (upstream.quota, upstream.pause) == (no_quota, no_pause)
        self._urls = lru_cache(maxsize=1000)(partial(within, self._base))
        self._attempt = aiohttp.ClientTimeout(total=upstream.attempt)
        self._trouble: Trouble | None = None

    async def send(self, request: Request) -> Answer:
        """The answer, if its status is below 500 and no redirect.

        Raises Unavailable, RateLimited, DeadlineExceeded; InvalidInput for a link to another host.
        """
        call = Call(request, self._urls(request.target), ends_at(self.upstream.deadline))
        self._budget.earn()
        attempt = 1
        with step("upstream", f"{self.upstream.name} {request.method}"):
            outcome = await self._authenticated(call)
            if isinstance(outcome, Answer) and outcome.status < 300:
                return outcome
            while self._worth_another(request, outcome, attempt):
                self._meter.retries.inc()
                await asyncio.sleep(min(backoff(attempt, self.upstream.retries), call.left))
                attempt += 1
                outcome = await self._authenticated(call)
            return self._usable(outcome)

    async def warm(self, target: str, connections: int = 5) -> None:
        """Open connections before they are needed; whatever fails will be told by the first real call."""
        tries = [self.send(Request("GET", target)) for _ in range(connections)]
        await asyncio.gather(*tries, return_exceptions=True)

    def status(self) -> UpstreamStatus:
        """How the upstream does."""
        tries, failed, p50, p95 = self._meter.spread()
        return UpstreamStatus(
            name=self.upstream.name,
            breaker=self.breaker.state,
            opens_in=self.breaker.wait,
            held_back=max(0.0, self._paused_until - time.monotonic()),
            tries=tries,
            failed=failed,
            p50=p50,
            p95=p95,
            trouble=self._trouble,
            own=Quota(self._pace.left(), self.upstream.burst, "burst"),
            told=self._told,
        )

    async def close(self) -> None:
        """Close the connections."""
        # Forgotten first: a caller that gives up meanwhile must not leave a closed session behind.
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _authenticated(self, call: Call) -> Answer | Failed:
        headers = await self._credentials.headers()
        outcome = await self._try(call, headers)
        expired = isinstance(outcome, Answer) and outcome.status == 401
        if expired and self._credentials.reject(headers):
            return await self._try(call, await self._credentials.headers())
        return outcome

    async def _try(self, call: Call, headers: Mapping[str, str]) -> Answer | Failed:
        wait = self._wait()
        started = time.monotonic()
        if wait or started >= call.ends_at:
            await self._turn(call, wait)
            started = time.monotonic()
        ticket = self.breaker.admit()
        try:
            outcome = await self._exchange(call, headers)
        except BaseException:
            # Only a caller that ran out of time says something about the upstream.
            if call.left > 0 and remaining(1.0) > 0:
                self.breaker.forget(ticket)
            else:
                self._record(ticket, "did not answer in time", time.monotonic() - started)
            raise
        if isinstance(outcome, Failed):
            trouble = outcome.message
        else:
            trouble = f"answered with status {outcome.status}" if outcome.status >= 500 else ""
        self._record(ticket, trouble, time.monotonic() - started)
        return outcome

    async def _exchange(self, call: Call, headers: Mapping[str, str]) -> Answer | Failed:
        request, name, left = call.request, self.upstream.name, call.left
        try:
            async with self._open().request(
                request.method,
                call.url,
                params=request.params or None,
                json=request.body,
                data=request.form if request.content is None else request.content,
                headers={**headers, **request.headers},
                allow_redirects=False,
                timeout=self._attempt if left >= self.upstream.attempt else aiohttp.ClientTimeout(total=left),
            ) as response:
                answer = Answer(response.status, response.headers, await self._body(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Failed(f"{name} cannot be reached ({type(error).__name__}).", sent=False)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Failed(f"{name} did not answer ({type(error).__name__}).", sent=True)
        self._heed(answer)
        return answer

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        while part := await response.content.readany():
            size += len(part)
            if size > self.upstream.max_bytes:
                response.close()
                raise AnswerTooLarge(self.upstream)
            parts.append(part)
        return b"".join(parts)

    async def _turn(self, call: Call, wait: float) -> None:
        """Wait until the rate allows another request. Raises RateLimited if that is too late for the caller."""
        while wait:
            if wait >= call.left:
                raise RateLimited(f"{self.upstream.name} takes no more requests for now.", retry_after=wait)
            await asyncio.sleep(wait)
            wait = self._wait()
        if call.left <= 0:
            raise DeadlineExceeded(f"{self.upstream.name} did not answer in time.", "Try again later.")

    def _wait(self) -> float:
        """Seconds until another request may be sent; with 0 it counts."""
        paused = self._paused_until - time.monotonic() if self._paused_until else 0.0
        return paused if paused > 0 else self._pace.check()

    def _heed(self, answer: Answer) -> None:
        if self._is_mute and answer.status < 300:
            return
        # Not every answer speaks of the limit.
        self._told = self.upstream.quota(answer.headers) or self._told
        pause = self.upstream.pause(answer.headers)
        if answer.status in NOT_NOW:
            self._trouble = Trouble(time.time(), f"answered with status {answer.status}")
            pause = max(pause, _asked_wait(answer) or 0.0)
        if pause:
            self._paused_until = max(self._paused_until, time.monotonic() + min(pause, LONGEST_PAUSE))

    def _worth_another(self, request: Request, outcome: Answer | Failed, attempt: int) -> bool:
        again_is_safe = request.repeatable or request.method in SAFE
        if isinstance(outcome, Failed):
            worth = again_is_safe or not outcome.sent
        else:
            worth = _was_not_done(outcome) or (again_is_safe and outcome.status in TRY_AGAIN)
        return worth and attempt < self.upstream.retries.tries and self._budget.spend()

    def _usable(self, outcome: Answer | Failed) -> Answer:
        if isinstance(outcome, Failed):
            raise outcome
        if outcome.status < 300 or 400 <= outcome.status < 429:
            return outcome
        name, wait = self.upstream.name, _asked_wait(outcome)
        if outcome.status == 429:
            raise RateLimited(f"{name} takes no more requests for now.", retry_after=wait)
        if outcome.status >= 500 or 300 <= outcome.status < 400:
            raise Unavailable(f"{name} answered with status {outcome.status}.", "Try again later.", wait)
        return outcome

    def _record(self, ticket: int, trouble: str, seconds: float) -> None:
        failed = bool(trouble)
        if failed:
            self._trouble = Trouble(time.time(), trouble)
        (self._meter.failed if failed else self._meter.ok).observe(seconds)
        if self.breaker.record(ticket, failed, seconds):
            log.warning("upstream.breaker", upstream=self.upstream.name, state=self.breaker.state)
            self._meter.open.set(self.breaker.state != "closed")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            private = self.upstream.allow_private or is_private_by_name(self._base)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self.upstream.connections,
                    keepalive_timeout=KEEPALIVE_SECONDS,
                    resolver=GuardedResolver(private),
                    ssl=_trust(self.upstream.ca_file) if self._base.scheme == "https" else True,
                ),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "triptych"},
            )
        return self._session


def _asked_wait(answer: Answer) -> float | None:
    return retry_after(answer.headers.get("Retry-After"))


def _was_not_done(answer: Answer) -> bool:
    # A proxy says 503 also when the upstream took the request and its answer was lost; only who refuses names a time.
    return answer.status == 429 or (answer.status == 503 and _asked_wait(answer) is not None)


@lru_cache(maxsize=8)
def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """To read the system's authorities takes a tenth of a second of the event loop: once for all clients."""
    return client_context(ca_file)


class AnswerTooLarge(AppError):
    """The answer has more bytes than the upstream may send; a repetition would have them, too."""

    code = "unavailable"

    def __init__(self, upstream: Upstream) -> None:
        size = f"{upstream.max_bytes / 1_048_576:.0f} MB"
        super().__init__(f"{upstream.name} sent more than {size}.", "Ask for less at once.")
