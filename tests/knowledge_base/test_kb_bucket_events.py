"""A bucket tells of a change: who has the token is heard, each notice counts once, and the bucket itself decides."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from common.security.access import Access, AccessScope
from common.security.nonces import LocalNonces
from knowledge_base import bucket_events
from knowledge_base.adapters.bucket import ObstoreBucket
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.bucket_events import WINDOW_SECONDS, BucketEvent, BucketEvents, read_events
from knowledge_base.bucket_route import MAX_BYTES, bucket_routes
from knowledge_base.buckets import BucketSync
from knowledge_base.documents import FolderSource
from tests.support.knowledge import knowledge_base_in
from tests.support.object_stores import place_of

TOKEN = "token-" * 8
READER = AccessScope("acme", "ada", clearance="internal")


def iso(at: float | None = None) -> str:
    return datetime.fromtimestamp(time.time() if at is None else at, UTC).isoformat()


def s3_notice(bucket: str, key: str, sequencer: str = "1", at: float | None = None) -> dict[str, Any]:
    found = {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": sequencer}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "eventTime": iso(at), "s3": found}]}


class Site:
    """The route, and how often the source was looked at."""

    def __init__(self, source: FolderSource, run: Any, kb: KnowledgeBase) -> None:
        self.passes = 0

        async def counted(of: FolderSource) -> None:
            assert of == source
            self.passes += 1
            await run(of)

        self.events = BucketEvents(kb.sources, counted, LocalNonces())
        self.app = Starlette(routes=bucket_routes(self.events, lambda: TOKEN))

    async def post(self, body: Any, token: str = TOKEN) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://kb") as client:
            headers = {"Authorization": f"Bearer {token}"}
            return await client.post("/webhooks/buckets", content=content, headers=headers)


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(bucket_events, "PAUSE_SECONDS", 0.01)
    async with knowledge_base_in(tmp_path) as kb:
        source = await kb.sources.register(FolderSource("acme", "docs", "s3://reports/2026", Access("internal"), "ops"))
        site = Site(source, nothing, kb)
        yield site
        await site.events.close()


async def nothing(_: FolderSource) -> None:
    """A pass."""


async def test_a_change_of_a_real_bucket_becomes_searchable(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with place_of("s3", tmp_path, request) as place:
        async with knowledge_base_in(tmp_path) as kb:
            root = str(place.location)
            source = await kb.sources.register(FolderSource("acme", "docs", root, Access("internal"), "ops"))
            sync = BucketSync(kb.sync, tmp_path / "mirror", lambda url: ObstoreBucket(url, place.account), 10_000)
            site = Site(source, sync.run, kb)
            await place.store.put_async("tea.md", b"Oolong.")
            bucket, _, prefix = root.removeprefix("s3://").partition("/")
            answer = await site.post(s3_notice(bucket, f"{prefix}/tea.md"))
            assert (answer.status_code, answer.json()) == (200, {"new": 1})
            async with asyncio.timeout(30):
                while not site.passes:
                    await asyncio.sleep(0.01)
                await site.events.idle()
            while await kb.worker.work_once():
                pass
            assert len((await kb.search.search("oolong", READER)).items) == 1
            await site.events.close()


async def test_who_has_not_the_token_is_not_heard(site: Site) -> None:
    for token in ("", "wrong", TOKEN[:-1]):
        assert (await site.post(s3_notice("reports", "2026/tea.md"), token)).status_code == 401
    assert (await site.post(b"x" * (MAX_BYTES + 1))).status_code == 413
    assert site.passes == 0


async def test_a_notice_counts_once_and_not_for_ever(site: Site) -> None:
    notice = s3_notice("reports", "2026/tea.md")
    assert [(await site.post(notice)).json()["new"] for _ in range(3)] == [1, 0, 0]
    await site.events.idle()
    assert site.passes == 1
    for at in (time.time() - WINDOW_SECONDS - 60, time.time() + WINDOW_SECONDS + 60):
        assert (await site.post(s3_notice("reports", "2026/tea.md", at=at))).json() == {"new": 0}
    assert (await site.post(s3_notice("reports", "2026/tea.md", "2"))).json() == {"new": 1}
    await site.events.idle()
    assert site.passes == 2


async def test_a_notice_that_could_not_be_taken_counts_when_it_is_sent_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> list[FolderSource]:
        raise OSError("the database is away")

    event = BucketEvent("1", "reports", "2026/tea.md", time.time())
    with monkeypatch.context() as patched:
        patched.setattr(site.events._sources, "registered", away)
        with pytest.raises(OSError, match="away"):
            await site.events.take([event])
    assert await site.events.take([event]) == 1
    await site.events.idle()
    assert site.passes == 1


async def test_notices_of_nobody_s_bucket_do_nothing(site: Site) -> None:
    for bucket, key in [("other", "2026/tea.md"), ("reports", "2025/tea.md"), ("reports", "2026-draft/tea.md")]:
        await site.post(s3_notice(bucket, key))
    await site.events.idle()
    assert site.passes == 0


async def test_many_notices_share_a_pass(site: Site) -> None:
    await asyncio.gather(*(site.post(s3_notice("reports", "2026/tea.md", str(n))) for n in range(20)))
    await site.events.idle()
    assert 1 <= site.passes <= 20 // 2


async def test_a_pass_that_fails_does_not_end_the_next(tmp_path: Path, site: Site) -> None:
    async with knowledge_base_in(tmp_path / "other") as kb:
        source = await kb.sources.register(FolderSource("acme", "docs", "s3://reports", Access("internal"), "ops"))

        async def fails(_: FolderSource) -> None:
            raise RuntimeError("the bucket is away")

        failing = Site(source, fails, kb)
        for number in ("1", "2"):
            assert (await failing.post(s3_notice("reports", "tea.md", number))).status_code == 200
            await failing.events.idle()
        assert failing.passes == 2
        await failing.events.close()


def test_each_store_says_it_in_its_own_way() -> None:
    [s3] = read_events(s3_notice("reports", "2026/a+b%2B.md"))
    assert (s3.bucket, s3.key) == ("reports", "2026/a b+.md")
    detail = {"bucket": {"name": "reports"}, "object": {"key": "2026/tea.md"}}
    [bridge] = read_events({"id": "1", "time": "2026-11-27T07:00:00Z", "detail": detail})
    assert (bridge.bucket, bridge.key) == ("reports", "2026/tea.md")
    data = {"url": "https://account.blob.core.windows.net/reports/2026/tea.md"}
    kind = "Microsoft.Storage.BlobCreated"
    [azure] = read_events([{"id": "1", "eventType": kind, "eventTime": "2026-11-27T07:00:00Z", "data": data}])
    assert (azure.bucket, azure.key) == ("reports", "2026/tea.md")


async def test_event_grid_is_answered_and_nonsense_refused(site: Site) -> None:
    kind = "Microsoft.EventGrid.SubscriptionValidationEvent"
    asked = [{"id": "1", "eventType": kind, "data": {"validationCode": "512d38b6"}}]
    assert (await site.post(asked)).json() == {"validationResponse": "512d38b6"}
    assert (await site.post(asked, "wrong")).status_code == 401
    nonsense: list[Any] = [b"", b"[" * 100_000, 1, None, {}, [1], {"Records": [{}]}, {"Records": 1}]
    nonsense += [s3_notice("reports", "x") | {"Records": [{"eventTime": "2026-11-27T07:00:00", "s3": {}}]}]
    for body in nonsense:
        assert (await site.post(body)).status_code == 400, body
