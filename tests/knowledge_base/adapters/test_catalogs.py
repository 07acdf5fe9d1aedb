"""What every catalogue with its job queue does, on real SQLite, Postgres and MongoDB."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.errors import Conflict, NotFound
from common.files import FileState
from common.jobs import JobQueue
from common.security.access import Access, AccessScope
from knowledge_base.adapters import mongo_catalog, mongo_jobs
from knowledge_base.bootstrap import Stores
from knowledge_base.browsing import Sort
from knowledge_base.documents import Accepted, FolderSource, KnownFile, NewDocument, Published, Stored, Task
from knowledge_base.filters import Field, OneOf, Restriction
from knowledge_base.worker import LOOK_SECONDS
from tests.support.catalogs import KINDS, stores_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALICE = AccessScope("acme", "alice", frozenset({"eng"}), "confidential")
PAT = AccessScope("acme", "pat")
OPERATOR = AccessScope("acme", "operator", clearance="restricted")


@pytest_asyncio.fixture(params=KINDS, scope="module", loop_scope="module")
async def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stores]:
    """One database for all tests, which take ids of their own."""
    async with stores_of(request.param, tmp_path_factory.mktemp("stores"), request) as found:
        yield found


@pytest.fixture
def name() -> str:
    return f"doc-{secrets.token_hex(6)}"


def stored(name: str, key: str = "k1", life: int = 0, access: Access | None = None, **more: Any) -> Stored:
    return Stored(NewDocument("acme", name, f"{name}.md", b"", access or Access("public"), **more), key, life)


async def accepted(stores: Stores, *items: Stored, by: AccessScope = OPERATOR, operator: bool = True) -> list[Any]:
    return await stores.catalog.accept(items, by, f"batch-{secrets.token_hex(6)}", operator)


async def published(stores: Stores, name: str, version: int, at: float = 1000.0, title: str = "T") -> Any:
    return await stores.catalog.publish([Published("acme", name, version, title, f"text-{version}", at)])


async def drained(queue: JobQueue, name: str) -> list[dict[str, Any]]:
    """Finish all jobs; the payloads of those that are about a document, by their kind."""
    found = []
    while jobs := await queue.claim(100):
        found += [job.payload for job in jobs if job.payload["document_id"] == name]
        await queue.finish(jobs)
    return sorted(found, key=lambda payload: str(payload["kind"]))


async def test_a_version_and_its_job_come_into_being_together(stores: Stores, name: str) -> None:
    [first] = await accepted(stores, stored(name, metadata={"year": 2024, "big": 2**70, "$a.b": ["x", "x"]}))
    assert (first.document_id, first.version) == (name, 1)
    with pytest.raises(NotFound):
        await stores.catalog.get(name, OPERATOR)
    progress = await stores.queue.progress(first.batch)
    assert progress is not None and (progress.total, progress.state, progress.subject) == (1, "queued", "operator")
    assert await drained(stores.queue, name) == [Task("ingest", name, 1, f"{name}.md").payload]
    await published(stores, name, 1)
    version = await stores.catalog.get(name, PAT)
    assert (version.title, version.text_key, version.is_current, version.published_at) == ("T", "text-1", True, 1000.0)
    assert version.metadata == {"year": 2024, "big": 2**70, "$a.b": ["x", "x"]}
    assert [type(value) for value in version.metadata.values()] == [int, int, list]


async def test_the_same_again_is_nothing_and_a_group_may_name_a_document_twice(stores: Stores, name: str) -> None:
    answers = await accepted(stores, stored(name, "k1"), stored(name + "x"), stored(name, "k2"))
    assert [(a.document_id, a.version) for a in answers] == [(name, 1), (name + "x", 1), (name, 2)]
    await published(stores, name, 1)
    await published(stores, name, 2, at=2000.0)
    [again] = await accepted(stores, stored(name, "k2"))
    assert (again.version, again.batch) == (2, None)
    [changed] = await accepted(stores, stored(name, "k2", metadata={"a": True}))
    assert changed.version == 3


async def test_what_is_not_the_callers_is_a_conflict(stores: Stores, name: str) -> None:
    await accepted(stores, stored(name, access=Access("internal", owners=frozenset({"bob"}))))
    [refused] = await accepted(stores, stored(name, "k2"), by=ALICE, operator=False)
    assert isinstance(refused, Conflict)
    [other] = await accepted(stores, stored(name, "k2", keeps_access=True))
    assert isinstance(other, Conflict) and "bob" in other.message
    assert await stores.catalog.latest("acme", name) == 1


async def test_access_that_nobody_chose_is_for_new_documents_only(stores: Stores, name: str) -> None:
    secret = Access("confidential", frozenset({"eng"}))
    for life in (0, 3):
        assert await stores.catalog.access("acme", name) is None
        given = [stored(name, f"k{life}-{n}", life, access_is_default=True) for n in range(2)]
        await accepted(stores, given[0])
        assert await stores.catalog.access("acme", name) == Access("public")
        await stores.catalog.set_access(name, secret, OPERATOR, "b", 60)
        await accepted(stores, given[1], replace(given[1], object_key="k"))
        assert await stores.catalog.access("acme", name) == secret
        await stores.catalog.delete(name, OPERATOR_OF_ENG, "b")


async def test_many_at_once_get_versions_of_their_own(stores: Stores, name: str) -> None:
    answers = await asyncio.gather(*(accepted(stores, stored(name, f"k{n}")) for n in range(12)))
    assert sorted(answer.version for [answer] in answers) == list(range(1, 13))
    assert len(await drained(stores.queue, name)) == 12


async def test_rights_and_versions_that_change_at_once_are_both_kept(stores: Stores, name: str) -> None:
    await accepted(stores, stored(name))
    await published(stores, name, 1)
    levels = [Access("internal"), Access("confidential")] * 3
    await asyncio.gather(
        *(stores.catalog.set_access(name, access, OPERATOR, "b", 60) for access in levels),
        *(published(stores, name, 1) for _ in range(6)),
    )
    assert await stores.catalog.access("acme", name) in levels
    assert (await stores.catalog.get(name, OPERATOR)).version == 1


async def test_time_decides_which_version_counted(stores: Stores, name: str) -> None:
    for number, at in enumerate((100.0, 200.0, 300.0), 1):
        await accepted(stores, stored(name, f"k{number}", metadata={"n": number}))
        await published(stores, name, number, at)
    for moment, number in ((None, 3), (100.0, 1), (199.0, 1), (200.0, 2), (1e9, 3)):
        restriction = Restriction(PAT, moment, OneOf(Field("n"), (float(number),)))
        expected = {name: (number, number * 100.0, number == 3)}
        assert await stores.catalog.valid([name], restriction) == expected, moment
    assert await stores.catalog.valid([name], Restriction(PAT, 99.0)) == {}
    history = await stores.catalog.history(name, PAT)
    assert [(v.version, v.superseded_at, v.is_current) for v in history] == [
        (3, None, True),
        (2, 300.0, False),
        (1, 200.0, False),
    ]


async def test_an_older_version_that_comes_late_does_not_win(stores: Stores, name: str) -> None:
    await accepted(stores, stored(name, "k1"), stored(name, "k2"))
    await published(stores, name, 2, 200.0)
    late = await published(stores, name, 1, 100.0)
    assert [(over.version, over.superseded_at) for over in late.ended] == [(1, 200.0)]
    assert (await stores.catalog.get(name, PAT)).version == 2


async def test_rights_count_for_all_versions_at_once_and_are_part_of_each_question(stores: Stores, name: str) -> None:
    await accepted(stores, stored(name))
    await published(stores, name, 1)
    await stores.catalog.set_access(name, Access("confidential", frozenset({"eng"})), OPERATOR_OF_ENG, "b", 0)
    for ask in (
        stores.catalog.get(name, PAT),
        stores.catalog.history(name, PAT),
        stores.catalog.set_access(name, Access("public"), PAT, "b", 0),
        stores.catalog.delete(name, PAT, "b"),
    ):
        with pytest.raises(NotFound):
            await ask
    own = OneOf(Field("document_id", own=True), (name,))
    for scope, there in ((PAT, False), (replace(ALICE, groups=frozenset()), False), (ALICE, True)):
        for moment in (None, 1500.0):
            restriction = Restriction(scope, moment, own)
            assert bool(await stores.catalog.valid([name], restriction)) is there
            assert bool(await stores.catalog.page(restriction, 5)) is there
            assert (await stores.catalog.facets(restriction, [], 5)).documents == int(there)
    assert await stores.catalog.valid([name], Restriction(ALICE, also=PAT)) == {}
    assert [payload["kind"] for payload in await drained(stores.queue, name)] == ["access", "ingest"]


async def test_a_version_with_other_rights_comes_with_the_job_that_tells_the_index(stores: Stores, name: str) -> None:
    internal, public = Access("internal"), Access("public")
    for key, access, told in (("k1", internal, False), ("k2", internal, False), ("k3", public, True)):
        [answer] = await accepted(stores, stored(name, key, access=access))
        progress = await stores.queue.progress(answer.batch)
        assert progress is not None and progress.total == 1, "a batch counts documents"
        kinds = [payload["kind"] for payload in await drained(stores.queue, name)]
        assert kinds == (["access", "ingest"] if told else ["ingest"]), key
    await stores.catalog.delete(name, OPERATOR, "b")
    await accepted(stores, stored(name, "k4", life=3, access=internal))
    assert [payload["kind"] for payload in await drained(stores.queue, name)] == ["erase", "ingest"]


OPERATOR_OF_ENG = replace(OPERATOR, groups=frozenset({"eng"}))


async def test_what_is_deleted_is_gone_and_its_id_begins_another_life(stores: Stores, name: str) -> None:
    await accepted(stores, stored(name, "k1"), stored(name, "k2"))
    await published(stores, name, 1, 100.0)
    await drained(stores.queue, name)
    await stores.catalog.delete(name, OPERATOR, "b")
    assert await stores.catalog.lives("acme", [name, "never"]) == {name: 2}
    assert await stores.catalog.access("acme", name) is None
    assert await stores.catalog.versions([("acme", name, 1)]) == {}
    assert (await published(stores, name, 2, 150.0)).rights == [None]
    assert await accepted(stores, stored(name, "k3", life=0)) == [None], "its bytes are of the earlier life"
    [again] = await accepted(stores, stored(name, "k3", life=2))
    assert again.version == 3
    await published(stores, name, 3, 300.0)
    for moment in (None, 120.0, 400.0):
        expected = {} if moment == 120.0 else {name: (3, 300.0, True)}
        assert await stores.catalog.valid([name], Restriction(PAT, moment)) == expected
    [erase, _] = await drained(stores.queue, name)
    assert (erase["kind"], erase["version"], erase["life"]) == ("erase", 2, 0)
    await stores.catalog.forget("acme", name, 2)
    assert [version.version for version in await stores.catalog.history(name, PAT)] == [3]


async def test_pages_are_in_order_and_go_on_where_they_ended(stores: Stores, name: str) -> None:
    values: list[Any] = [3, 1.5, "b", "a", True, None, ["x"]]
    titles = ["Zebra", "apple", "\u00c9clair", "Banana", "_x", "banana", "\U0001f642"]
    ids = [f"{name}{letter}" for letter in "AbCdEfG"]
    group = [
        stored(i, metadata={"of": name, **({} if v is None else {"s": v})}) for i, v in zip(ids, values, strict=True)
    ]
    await accepted(stores, *group)
    items = [Published("acme", i, 1, title, "t", 1.0) for i, title in zip(ids, titles, strict=True)]
    await stores.catalog.publish(items)
    restriction = Restriction(PAT, where=OneOf(Field("of"), (name,)))
    # By code points, also in a database with a locale.
    for sort, order in (
        (Sort(Field("s")), "bAEdCGf"),
        (Sort(Field("s"), True), "AbECdGf"),
        (Sort(Field("title", own=True)), "dAEbfCG"),
        (Sort(Field("title", own=True), True), "GCfbEAd"),
        (Sort(Field("published_at", own=True)), "ACEGbdf"),
        (Sort(Field("document_id", own=True), True), "fdbGECA"),
    ):
        found, after = "", None
        while page := await stores.catalog.page(restriction, 2, sort, after):
            found += "".join(version.document_id[-1] for version, _ in page)
            after = page[-1][1]
        assert found == order, sort


async def test_jobs_are_one_workers_until_he_is_not_heard_of(stores: Stores, name: str) -> None:
    await drained(stores.queue, name)
    others_of_tests = await stores.queue.pending()
    await accepted(stores, *(stored(f"{name}{n}") for n in range(20)))
    claims = await asyncio.gather(*(stores.queue.claim(5) for _ in range(6)))
    taken = [job.id for claim in claims for job in claim]
    assert len(taken) == len(set(taken))
    rest = [job for claim in claims for job in claim] + await stores.queue.claim(100)
    assert len(rest) == 20 and {job.attempt for job in rest} == {1}
    first, second, *others = rest
    await stores.queue.finish(others)
    await stores.queue.fail(first, "it is odd", retry=False)
    await stores.queue.release([second], "away")
    progress = await stores.queue.progress(first.batch)
    assert progress is not None and (progress.done, progress.failed, progress.total) == (18, 1, 20)
    assert progress.errors[0]["error"] == "it is odd"
    assert await stores.queue.cancel(first.batch, "ingest") == 1
    assert await stores.queue.pending() == others_of_tests


async def test_a_claim_that_was_lost_says_nothing_any_more(stores: Stores, name: str) -> None:
    await drained(stores.queue, name)
    others_of_tests = await stores.queue.pending()
    await accepted(stores, stored(name))
    lease, stores.queue.lease_seconds = stores.queue.lease_seconds, 0.0
    try:
        [mine] = await stores.queue.claim(1)
        [others] = await stores.queue.claim(1)
    finally:
        stores.queue.lease_seconds = lease
    assert (mine.id, mine.attempt, others.attempt) == (others.id, 1, 2)
    await stores.queue.finish([mine])
    assert await stores.queue.pending() == others_of_tests + 1
    await stores.queue.finish([others])
    assert await stores.queue.pending() == others_of_tests


async def test_what_was_given_up_is_shown_and_tried_again(stores: Stores, name: str) -> None:
    await drained(stores.queue, name)
    await accepted(stores, stored(name))
    [job] = await stores.queue.claim(1)
    await stores.queue.fail(replace(job, failures=4), "broken", retry=True)
    [letter] = [one for one in await stores.queue.dead_letters("acme", 50) if one.job.id == job.id]
    assert letter.error == "broken" and (await stores.queue.depth()).dead >= 1
    assert await stores.queue.dead_letters("other", 5) == []
    assert await stores.queue.replay([job.id]) == 1
    assert [again.id for again in await stores.queue.claim(5)] == [job.id]
    newest = await stores.queue.newest("acme", "operator", 1)
    assert [batch.batch for batch in newest] == [job.batch]
    assert await stores.queue.newest("acme", "nobody", 5) == []


async def test_sources_remember_their_files(stores: Stores, name: str) -> None:
    source = FolderSource("acme", name, "/folder", Access("internal", frozenset({"eng"})), "alice")
    assert await stores.sources.register(source) == source
    assert await stores.sources.register(replace(source, root="/other")) == source
    file = KnownFile("a/b.md", FileState(1, 2**60, 3, 4), "digest", 5.0, ("one", "two"))
    for item in (file, replace(file, digest="")):
        await stores.sources.put(source, item)
        assert await stores.sources.files(source) == {"a/b.md": item}
    await stores.sources.drop(source, "a/b.md")
    assert await stores.sources.files(source) == {}


@pytest.mark.parametrize("asked_first", [False, True], ids=["claimed", "asked for"])
async def test_mongodb_hands_over_jobs_of_one_who_died_in_between(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, asked_first: bool
) -> None:
    async with stores_of("mongodb", tmp_path, request) as stores:

        async def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(mongo_catalog, "hand_over", die)
            with pytest.raises(KeyboardInterrupt):
                await accepted(stores, stored(name))
        assert await stores.queue.claim(5) == []
        now = time.time()
        monkeypatch.setattr("knowledge_base.adapters.mongo_jobs.time.time", lambda: now + mongo_jobs.LEFT_SECONDS + 1)
        if asked_first:
            depth = await stores.queue.depth()
            assert depth.ready == 1 and depth.oldest_seconds > LOOK_SECONDS / 2, "or no worker would look at it"
        [job] = await stores.queue.claim(5)
        assert job.payload["document_id"] == name
        assert await stores.queue.claim(5) == []


async def test_mongodb_refuses_documents_that_are_not_whole(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    from pymongo.errors import DuplicateKeyError, WriteError

    async with stores_of("mongodb", tmp_path, request) as stores:
        catalog: Any = stores.catalog
        [answer] = await accepted(stores, stored("one"))
        assert isinstance(answer, Accepted)
        with pytest.raises(WriteError, match="validation"):
            await catalog._documents.update_one({"id": "one"}, {"$unset": {"readers": ""}})
        row = await catalog._documents.find_one({"id": "one"}, {"_id": 0})
        with pytest.raises(DuplicateKeyError):
            await catalog._documents.insert_one(row)
