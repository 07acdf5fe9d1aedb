import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from common.errors import AppError, DeadlineExceeded, InvalidInput, RateLimited, SettingsError, Unavailable
from common.http.client import Answer, Request, ResilientClient
from common.http.credentials import BearerToken, FixedHeaders, Token
from common.http.guard import path
from common.http.status import Quota, quota
from common.http.upstream import Upstream, UpstreamMetrics
from common.resilience.breaker import BreakerLimits
from common.resilience.deadline import deadline
from common.resilience.rate_limit import Pace
from common.resilience.retry import RetryLimits

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
QUICK = RetryLimits(first_wait=0.001, longest_wait=0.01)
GET = Request("GET", "things")


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", r"/{tail:[\s\S]*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(handler: Handler, credentials: Any = None, **changes: Any) -> AsyncIterator[ResilientClient]:
    async with serving(handler) as url:
        upstream = replace(Upstream("shop", url, deadline=5, attempt=2, retries=QUICK), **changes)
        client = ResilientClient(upstream, credentials)
        try:
            yield client
        finally:
            await client.close()


class Script:
    """Answers with one status after the other, the last for ever."""

    def __init__(self, *answers: int | web.Response, headers: dict[str, str] | None = None) -> None:
        self.answers = list(answers)
        self.headers = headers or {}
        self.seen: list[web.Request] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(status, web.Response):
            return status
        return web.json_response({"ok": status < 400}, status=status, headers=self.headers)


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_an_answer_comes_whole() -> None:
    async with client_of(Script(200)) as client:
        answer = await client.send(Request("GET", "things", {"q": "a&b"}))
    assert (answer.status, answer.json()) == (200, {"ok": True})


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_what_can_be_repeated_is_tried_again(method: str, status: int) -> None:
    script = Script(status, status, 200)
    async with client_of(script) as client:
        assert (await client.send(Request(method, "things"))).status == 200
    assert len(script.seen) == 3


@pytest.mark.parametrize(
    ("status", "headers", "sent"),
    [
        (500, {}, 1),
        (502, {}, 1),
        (504, {}, 1),
        # A proxy whose connection broke after the request went through.
        (503, {}, 1),
        (503, {"Retry-After": "soon"}, 1),
        (503, {"Retry-After": "0"}, 2),
        (429, {}, 2),
    ],
)
async def test_a_post_is_repeated_only_when_nothing_was_done(status: int, headers: dict[str, str], sent: int) -> None:
    script = Script(web.Response(status=status, headers=headers), 200)
    async with client_of(script) as client:
        if sent == 1:
            with pytest.raises(Unavailable):
                await client.send(Request("POST", "things", body={}))
        else:
            assert (await client.send(Request("POST", "things", body={}))).status == 200
    assert len(script.seen) == sent


async def test_a_post_that_only_reads_is_repeated() -> None:
    script = Script(500, 200)
    async with client_of(script) as client:
        assert (await client.send(Request("POST", "search", body={}, repeatable=True))).status == 200


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
async def test_a_clear_no_is_an_answer(status: int) -> None:
    script = Script(status)
    async with client_of(script) as client:
        assert (await client.send(GET)).status == status
    assert len(script.seen) == 1


async def test_tries_are_counted() -> None:
    script = Script(500)
    async with client_of(script) as client:
        with pytest.raises(Unavailable, match="shop answered with status 500"):
            await client.send(GET)
    assert len(script.seen) == 3


async def test_a_reset_connection_is_tried_again() -> None:
    seen = 0

    async def reset_once(request: web.Request) -> web.StreamResponse:
        nonlocal seen
        seen += 1
        if seen == 1 and request.transport is not None:
            request.transport.abort()
        return web.json_response({})

    async with client_of(reset_once) as client:
        assert (await client.send(GET)).status == 200
    assert seen == 2


async def test_retries_stop_when_the_budget_is_used_up() -> None:
    script = Script(500)
    limits = replace(QUICK, budget_share=0.0, budget_reserve=2.0)
    async with client_of(script, retries=limits, breaker=BreakerLimits(least_calls=100, window=200)) as client:
        for _ in range(10):
            with pytest.raises(Unavailable):
                await client.send(GET)
    assert len(script.seen) == 12


async def test_a_dead_upstream_gets_no_storm_of_retries() -> None:
    script, calls = Script(500), 600
    limits = replace(QUICK, tries=5)
    async with client_of(
        script, retries=limits, rate=1e6, burst=1000, breaker=BreakerLimits(least_calls=10**6)
    ) as client:
        for _ in range(calls // 10):
            found = await asyncio.gather(*[client.send(GET) for _ in range(10)], return_exceptions=True)
            assert {type(each) for each in found} == {Unavailable}
    assert calls * limits.budget_share < len(script.seen) - calls <= calls * limits.budget_share + limits.budget_reserve


async def test_a_server_that_asks_for_a_pause_gets_it_from_every_call() -> None:
    script = Script(web.Response(status=429, headers={"Retry-After": "1"}), 200)
    async with client_of(script) as client:
        started = time.monotonic()
        answers = await asyncio.gather(client.send(GET), _later(client))
        assert time.monotonic() - started >= 1.0
    assert [answer.status for answer in answers] == [200, 200]


async def _later(client: ResilientClient) -> Answer:
    await asyncio.sleep(0.05)
    return await client.send(GET)


async def test_a_pause_longer_than_the_deadline_is_told_at_once() -> None:
    async with client_of(Script(web.Response(status=429, headers={"Retry-After": "60"}), 200)) as client:
        started = time.monotonic()
        with pytest.raises(RateLimited) as told:
            await client.send(GET)
    assert time.monotonic() - started < 10
    assert told.value.retry_after == pytest.approx(60, abs=2)


@pytest.mark.parametrize(("asked", "held_back"), [(str(365 * 86400), 300), ("9" * 400, 0)])
async def test_no_answer_holds_back_all_requests_for_long(asked: str, held_back: float) -> None:
    async with client_of(Script(429, headers={"Retry-After": asked})) as client:
        with pytest.raises(RateLimited) as told:
            await client.send(GET)
        assert client.status().held_back == pytest.approx(held_back, abs=20)
    assert told.value.retry_after is None or told.value.retry_after <= 300


async def test_the_rate_is_kept() -> None:
    script = Script(200)
    async with client_of(script, rate=50.0, burst=5) as client:
        started = time.monotonic()
        await asyncio.gather(*[client.send(GET) for _ in range(25)])
    assert time.monotonic() - started >= 20 / 50 - 0.02


async def test_what_the_servers_headers_say_holds_back_the_next_request() -> None:
    script = Script(200, headers={"X-Left": "0"})
    async with client_of(script, pause=lambda headers: 0.3 if headers.get("X-Left") == "0" else 0.0) as client:
        await client.send(GET)
        started = time.monotonic()
        await client.send(GET)
    assert time.monotonic() - started >= 0.29


async def test_a_stalled_try_leaves_time_for_another() -> None:
    seen = 0

    async def stall_once(request: web.Request) -> web.StreamResponse:
        nonlocal seen
        seen += 1
        return await hang(request) if seen == 1 else web.json_response({})

    async with client_of(stall_once, attempt=0.2) as client:
        assert (await client.send(GET)).status == 200


async def test_the_callers_deadline_holds() -> None:
    async with client_of(hang) as client:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            async with deadline(0.2):
                await client.send(GET)
    assert time.monotonic() - started < 3


def state_of(client: ResilientClient) -> str:
    return client.breaker.state


async def test_a_hanging_upstream_is_cut_off_and_comes_back() -> None:
    answering = False

    async def sometimes(request: web.Request) -> web.StreamResponse:
        return web.json_response({}) if answering else await hang(request)

    limits = BreakerLimits(window=10, least_calls=4, open_for=0.5)
    async with client_of(sometimes, deadline=0.1, attempt=0.1, breaker=limits) as client:
        failed = await asyncio.gather(*[client.send(GET) for _ in range(8)], return_exceptions=True)
        assert all(isinstance(each, AppError) for each in failed)
        assert state_of(client) == "open"
        # Not that it took too long: it was not even asked.
        with pytest.raises(Unavailable) as told:
            await client.send(GET)
        assert told.value.retry_after is not None
        answering = True
        async with asyncio.timeout(20):
            while state_of(client) != "closed":
                await asyncio.gather(client.send(GET), return_exceptions=True)
                await asyncio.sleep(0.01)


async def test_a_caller_who_goes_away_says_nothing_about_the_upstream() -> None:
    async with client_of(hang, breaker=BreakerLimits(least_calls=1)) as client:
        calls = [asyncio.ensure_future(client.send(GET)) for _ in range(5)]
        await asyncio.sleep(0.05)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert client.breaker.state == "closed"


async def test_an_expired_token_is_renewed_once_for_all_calls() -> None:
    fetched = 0

    async def fetch() -> Token:
        nonlocal fetched
        fetched += 1
        await asyncio.sleep(0.01)
        return Token(f"token-{fetched}", time.monotonic() + 3600)

    async def check(request: web.Request) -> web.StreamResponse:
        return web.Response(status=200 if request.headers["Authorization"] == "Bearer token-2" else 401)

    async with client_of(check, BearerToken(fetch)) as client:
        answers = await asyncio.gather(*[client.send(GET) for _ in range(10)])
    assert [answer.status for answer in answers] == [200] * 10
    assert fetched == 2


async def test_a_token_that_stays_refused_is_an_answer() -> None:
    async def fetch() -> Token:
        return Token("wrong", time.monotonic() + 3600)

    script = Script(401)
    async with client_of(script, BearerToken(fetch)) as client:
        assert (await client.send(GET)).status == 401
    assert len(script.seen) == 2


async def test_tokens_are_in_no_representation() -> None:
    assert "s3cret" not in repr(Token("s3cret", 0.0))
    assert "s3cret" not in repr(Request("GET", "x", headers={"Authorization": "s3cret"}, form={"secret": "s3cret"}))


async def test_a_redirect_is_not_followed() -> None:
    elsewhere = Script(200)
    async with serving(elsewhere) as other:
        script = Script(web.Response(status=302, headers={"Location": other}))
        async with client_of(script, FixedHeaders({"Authorization": "Bearer mine"})) as client:
            with pytest.raises(Unavailable, match="302"):
                await client.send(GET)
    assert elsewhere.seen == []


@pytest.mark.parametrize(
    "link",
    ["https://evil.example/x", "//evil.example/x", "http://127.0.0.1:1/x", "http://user@127.0.0.1/x", "file:///x"],
)
async def test_credentials_go_to_no_other_host(link: str) -> None:
    script = Script(200)
    async with client_of(script) as client:
        with pytest.raises(InvalidInput):
            await client.send(Request("GET", link))
    assert script.seen == []


async def test_a_link_of_the_same_origin_is_followed() -> None:
    script = Script(200)
    async with client_of(script) as client:
        await client.send(Request("GET", "/api/query/next-2000"))
        await client.send(Request("GET", f"{client.upstream.url}/more?page=2"))
    assert [request.path_qs for request in script.seen] == ["/api/query/next-2000", "/api/more?page=2"]


@pytest.mark.parametrize("hostile", ["a/b", "a?b=c", "a#b", "ä b", "%2e%2e", "a\\b", "a\r\nX: y"])
async def test_an_id_stays_one_segment(hostile: str) -> None:
    script = Script(200)
    async with client_of(script) as client:
        await client.send(Request("GET", path("things", hostile)))
    assert script.seen[0].match_info["tail"].removeprefix("api/things/") == hostile


@pytest.mark.parametrize("hostile", ["", ".", ".."])
def test_an_id_does_not_lead_up(hostile: str) -> None:
    with pytest.raises(InvalidInput):
        path("things", hostile)


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_is_bounded_also_when_it_unpacks(packed: bool) -> None:
    body = b"0" * 4_000_000
    headers = {"Content-Encoding": "gzip"} if packed else {}
    answer = web.Response(body=gzip.compress(body) if packed else body, headers=headers)
    script = Script(answer)
    async with client_of(script, max_bytes=1_000_000) as client:
        with pytest.raises(AppError, match="more than 1 MB"):
            await client.send(GET)
    assert len(script.seen) == 1


async def test_a_name_must_not_lead_into_the_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(200)
    async with serving(script) as url:
        port = url.split(":")[2].split("/")[0]
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", int(port)))])
        client = ResilientClient(Upstream("shop", f"http://crm.example.com:{port}/api", retries=QUICK))
        with pytest.raises(Unavailable):
            await client.send(GET)
        await client.close()
        allowed = ResilientClient(Upstream("shop", f"http://crm.example.com:{port}/api", allow_private=True))
        assert (await allowed.send(GET)).status == 200
        await allowed.close()
    assert len(script.seen) == 1


@pytest.mark.parametrize(
    "url",
    ["ftp://x/", "http://user:pw@x/", "x", "http://169.254.169.254/latest", "https://x/?q=1", "http://[fe80::1]/"],
)
def test_a_wrong_url_stops_the_start(url: str) -> None:
    with pytest.raises(SettingsError) as told:
        ResilientClient(Upstream("shop", url))
    assert "pw" not in str(told.value)


async def test_a_broken_body_is_the_upstreams_fault() -> None:
    async with client_of(Script(web.Response(text="<html>"))) as client:
        with pytest.raises(Unavailable):
            (await client.send(GET)).json()


async def test_connections_are_kept() -> None:
    peers = set()

    async def note(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response({})

    async with client_of(note) as client:
        await client.warm("health")
        for _ in range(20):
            await client.send(GET)
    assert len(peers) <= 5


async def test_a_client_says_how_its_upstream_does() -> None:
    def left(headers: Any) -> Quota | None:
        return quota(headers.get("x-left"), headers.get("x-limit"), "minute")

    script = Script(200, 500, headers={"x-left": "90", "x-limit": "100"})
    limits = BreakerLimits(least_calls=3, bad_share=0.5, open_for=30)
    async with client_of(script, quota=left, burst=10, rate=0.1, breaker=limits) as client:
        before = client.status()
        assert (before.tries, before.trouble, before.told, before.own.left) == (0, None, None, 10)
        await client.send(GET)
        assert client.status().told == Quota(90, 100, "minute") and round(client.status().own.left) == 9
        with pytest.raises(Unavailable):
            await client.send(GET)
        after = client.status()
    assert (after.breaker, after.tries, after.failed) == ("open", 3, 2) and 20 < after.opens_in <= 30
    assert after.trouble is not None and "500" in after.trouble.text and 0 < after.p50 <= after.p95
    assert Quota(5, 0, "day").share == 0 and quota("many", "100", "day") is None


async def test_all_clients_of_a_server_are_told_of() -> None:
    metrics = UpstreamMetrics()
    for name in ("one", "other"):
        ResilientClient(Upstream(name, "http://127.0.0.1:9/"), metrics=metrics)
    assert [each.name for each in metrics.statuses()] == ["one", "other"]


async def test_a_caller_that_leaves_while_it_is_closed_spoils_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client_of(Script(200)) as client:
        await client.send(GET)
        real = client._session
        assert real is not None

        async def slow() -> None:
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(real, "close", slow)
            closing = asyncio.ensure_future(client.close())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
        await real.close()
        assert (await client.send(GET)).status == 200


async def test_a_pace_lets_a_burst_through_and_then_one_at_a_time() -> None:
    now = 100.0
    pace = Pace(10, 3, lambda: now)
    assert [pace.check() for _ in range(3)] == [0, 0, 0] and round(pace.left()) == 0
    assert round(pace.check(), 3) == 0.1
    now += 0.1
    assert pace.check() == 0 and pace.check() > 0
