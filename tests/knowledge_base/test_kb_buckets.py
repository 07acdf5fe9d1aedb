"""A bucket is followed: what changed is fetched and taken in, what is gone is deleted, and not all at once."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.errors import Conflict, InvalidInput, NotFound, Unavailable
from common.security.access import Access, AccessScope
from knowledge_base.adapters.bucket import ObstoreBucket
from knowledge_base.adapters.object_stores import Account
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.buckets import BucketObject, BucketSync
from knowledge_base.documents import FolderSource
from knowledge_base.sync import Plan
from tests.support.knowledge import knowledge_base_in
from tests.support.object_stores import Place, place_of

READER = AccessScope("acme", "ada", clearance="internal")


@pytest.fixture(params=["s3", "azure"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place_of(request.param, tmp_path, request) as found:
        yield found


class Followed:
    """A knowledge base that follows the place; `read` are the keys that were fetched."""

    def __init__(self, kb: KnowledgeBase, place: Place, folder: Path) -> None:
        self.kb, self.place, self.read = kb, place, list[str]()
        self.source = FolderSource("acme", "docs", str(place.location), Access("internal"), "ops")
        self.sync = BucketSync(kb.sync, folder / "mirror", self._open, 10_000)

    def _open(self, url: str) -> Any:
        followed = self

        class Counted(ObstoreBucket):
            async def read(self, key: str) -> bytes:
                followed.read.append(key)
                return await super().read(key)

        return Counted(url, self.place.account)

    async def put(self, **texts: str) -> None:
        for name, text in texts.items():
            await self.place.store.put_async(f"{name.replace('__', '/')}.md", text.encode())

    async def run(self, **options: Any) -> Plan:
        self.read.clear()
        plan = await self.sync.run(self.source, **options)
        while await self.kb.worker.work_once():
            pass
        return plan

    async def texts(self) -> set[str]:
        found, _ = await self.kb.library.page(READER, 50)
        return {(await self.kb.library.fetch(version.document_id, READER)).text.strip() for version in found}


async def test_a_bucket_is_followed(place: Place, tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as kb:
        followed = Followed(kb, place, tmp_path)
        await followed.put(tea="Oolong.", sub__mint="Mint.", sub__sage="Sage.")
        assert len((await followed.run()).added) == 3 and len(followed.read) == 3
        assert await followed.texts() == {"Oolong.", "Mint.", "Sage."}
        plan = await followed.run()
        assert (plan.added, plan.changed, plan.vanished, followed.read) == ([], [], [], []), "nothing is fetched twice"

        await followed.put(tea="Assam.")
        await place.store.delete_async("sub/mint.md")
        plan = await followed.run()
        assert (followed.read, len(plan.changed), plan.vanished) == (["tea.md"], 1, ["sub/mint.md"])
        assert await followed.texts() == {"Assam.", "Sage."}

        for name in ("tea.md", "sub/sage.md"):
            await place.store.delete_async(name)
        await followed.put(other="Rooibos.")
        with pytest.raises(Conflict, match="2 of 2 files are gone"):
            await followed.run()
        assert await followed.texts() == {"Assam.", "Sage."}, "nothing was changed"
        await followed.run(force=True)
        assert await followed.texts() == {"Rooibos."}


async def test_a_copy_that_is_lost_is_fetched_again_and_nothing_taken_in(place: Place, tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as kb:
        followed = Followed(kb, place, tmp_path)
        await followed.put(tea="Oolong.")
        await followed.run()
        elsewhere = Followed(kb, place, tmp_path / "another-machine")
        plan = await elsewhere.run()
        assert (elsewhere.read, plan.added, plan.changed, plan.unchanged) == (["tea.md"], [], [], 1)


async def test_what_is_too_large_or_in_the_way_is_refused_one_by_one(place: Place, tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as kb:
        followed = Followed(kb, place, tmp_path)
        await followed.put(tea="Oolong.", large="x" * 10_001)
        await place.store.put_async("tea.md/below.md", b"Below a file.")
        plan = await followed.run()
        reasons = {item.relative: item.reason for item in plan.refused}
        assert "larger" in reasons["large.md"]
        assert "name of a folder" in reasons["tea.md/below.md"] and await followed.texts() == {"Oolong."}
        # What was taken in and is too large by now is still there, so it is not deleted.
        await followed.put(tea="x" * 10_001)
        assert (await followed.run()).vanished == [] and await followed.texts() == {"Oolong."}


async def test_a_bucket_that_does_not_answer_deletes_nothing(place: Place, tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path) as kb:
        followed = Followed(kb, place, tmp_path)
        await followed.put(tea="Oolong.")
        await followed.run()
        account = place.account
        place.account = Account("http://127.0.0.1:9", account.name, account.key)
        with pytest.raises(Unavailable, match="cannot be listed"):
            await followed.run()
        place.account = account
        followed.source = replace(followed.source, name="none", root=f"{place.location}/{secrets.token_hex(4)}")
        await followed.run()
        assert await followed.texts() == {"Oolong."}
        with pytest.raises(NotFound):
            await ObstoreBucket(str(place.location), account).read("absent.md")
        followed.source = replace(followed.source, name="bad", root="s3:///")
        with pytest.raises(InvalidInput, match="names no bucket"):
            await followed.run()


class Listed:
    """A store in memory; who lists it is told when, and waits until he may go on."""

    def __init__(self, texts: dict[str, bytes]) -> None:
        self.texts = texts
        self.listed, self.go_on = asyncio.Event(), asyncio.Event()

    async def objects(self) -> AsyncIterator[BucketObject]:
        for key, text in sorted(self.texts.items()):
            yield BucketObject(key, text.hex(), len(text))
        self.listed.set()
        await self.go_on.wait()

    async def read(self, key: str) -> bytes:
        return self.texts[key]


async def test_what_another_machine_takes_in_after_the_bucket_was_listed_is_not_deleted(tmp_path: Path) -> None:
    source = FolderSource("acme", "docs", "s3://bucket/docs", Access("internal"), "ops")
    quick, slow = Listed({"tea.md": b"Oolong.", "mint.md": b"Mint."}), Listed({})
    quick.go_on.set()
    slow.texts = quick.texts
    async with knowledge_base_in(tmp_path / "data") as kb:
        one = BucketSync(kb.sync, tmp_path / "1", lambda _: quick, 10_000)
        other = BucketSync(kb.sync, tmp_path / "2", lambda _: slow, 10_000)
        await one.run(source)
        late = asyncio.create_task(other.run(source))
        await asyncio.wait_for(slow.listed.wait(), 20)
        quick.texts["new.md"] = b"Assam."
        assert len((await one.run(source)).added) == 1
        slow.go_on.set()
        plan = await late
        assert (plan.vanished, plan.deleted) == ([], [])
        del quick.texts["new.md"]
        slow.listed.clear()
        slow.go_on.clear()
        late = asyncio.create_task(other.run(source))
        await asyncio.wait_for(slow.listed.wait(), 20)
        quick.texts["new.md"] = b"Assam, first flush."
        assert len((await one.run(source)).changed) == 1
        slow.go_on.set()
        assert (await late).vanished == [], "it was known, and is newer than the list"
        del quick.texts["new.md"]
        assert (await other.run(source)).vanished == ["new.md"]


class Hostile:
    """A store whose keys want out of the folder."""

    KEYS = ("../out.md", "/etc/out.md", "a/../../out.md", "a//b.md", "a\\..\\out.md", "nul\0.md", ".")

    async def objects(self) -> AsyncIterator[BucketObject]:
        for key in self.KEYS:
            yield BucketObject(key, "1", 4)

    async def read(self, key: str) -> bytes:
        return b"evil"


async def test_keys_that_lead_elsewhere_are_not_even_fetched(tmp_path: Path) -> None:
    async with knowledge_base_in(tmp_path / "data") as kb:
        sync = BucketSync(kb.sync, tmp_path / "mirror", lambda _: Hostile(), 10_000)
        async with sync.mirrored("s3://evil/x") as (files, refused):
            assert len(refused) == len(Hostile.KEYS) and os.listdir(files) == []
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if name == "out.md"]
