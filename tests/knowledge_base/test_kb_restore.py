"""A backup by the commands of the docs, everything lost, everything back: each document once, in its last version."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.errors import NotFound
from common.security.access import Access, AccessScope
from common.settings import CommonSettings
from knowledge_base import bootstrap
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.filters import Restriction
from tests.support import backups
from tests.support.catalogs import settings_of
from tests.support.knowledge import add_all, document, knowledge_base_in
from tests.support.object_stores import Place, place_of
from tests.support.worlds import HashEmbedder

OPERATOR = AccessScope("acme", "operator", frozenset({"eng"}), "restricted")
PAT = AccessScope("acme", "pat")
ENG = Access("restricted", frozenset({"eng"}))


async def fill(source: KnowledgeBase) -> None:
    """At the end an erased document, one whose erasure still waits, and one that waits to be indexed."""
    await add_all(source, [document("tea", "Oolong one.", created_at=1000.0), document("gone", "Oolong, erased.")])
    await add_all(source, [document("tea", "Oolong two.", created_at=2000.0), document("going", "Oolong, going.")])
    await add_all(source, [document("mug", "Oolong in a mug.", access=ENG), document("own", "Oolong.", tenant="other")])
    await source.library.delete("gone", OPERATOR)
    while await source.worker.work_once():
        pass
    await source.library.delete("going", OPERATOR)
    await source.library.add(document("late", "Oolong, late."), OPERATOR)


async def found_by(scope: AccessScope, knowledge_base: KnowledgeBase) -> list[tuple[str, int]]:
    """Each passage that is found, so that a document that is there twice is seen twice."""
    hits = await knowledge_base.index.search_text("oolong", Restriction(scope), 100)
    return sorted((hit.document_id, hit.version) for hit in hits)


async def check(restored: KnowledgeBase) -> None:
    """What is there after a restore, before and after the workers have gone on."""
    assert await restored.index.count() == 0
    [_ async for _ in restored.reindex.run()]
    assert restored.reindex.missing == []
    assert await found_by(OPERATOR, restored) == [("mug", 1), ("tea", 2)]
    while await restored.worker.work_once():
        pass
    assert await found_by(OPERATOR, restored) == [("late", 1), ("mug", 1), ("tea", 2)]
    assert await found_by(PAT, restored) == [("late", 1), ("tea", 2)]
    assert await found_by(AccessScope("other", "olga"), restored) == [("own", 1)]
    assert (await restored.library.fetch("tea", PAT, 1)).text == "Oolong one."
    for name in ("gone", "going", "mug", "after"):
        with pytest.raises(NotFound):
            await restored.library.fetch(name, PAT)
    page = await restored.search.search("oolong", PAT, as_of=1500.0)
    assert [(item.document_id, item.version) for item in page.items] == [("tea", 1)]


@asynccontextmanager
async def built_in(folder: Path, place: Place, **given: Any) -> AsyncIterator[KnowledgeBase]:
    where = {"objects_url": str(place.location), "objects_endpoint": place.account.endpoint}
    async with knowledge_base_in(folder, **given, **where) as knowledge_base:
        yield knowledge_base


async def test_a_lost_folder_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
    back_up, restore = backups.steps("A folder")
    data = tmp_path / "data"
    names = {"DATA": str(data), "BACKUP": str(tmp_path / "backup")}
    async with knowledge_base_in(data) as before:
        await fill(before)
        backups.run(back_up, names)  # while it is open, with what is not in the file itself yet
        await add_all(before, [document("after", "Oolong, after the backup.")])
    objects = data / "knowledge-base" / "objects"
    for again in (False, True):
        if not again:
            shutil.rmtree(data)
        # The second time a folder is there, which is put aside.
        backups.run(backups.without_reindex(restore), names)
        async with knowledge_base_in(data) as after:
            await check(after)
        assert not any(b"going" in file.read_bytes() for file in objects.rglob("*") if file.is_file())
    assert len(list(data.glob("knowledge-base.*"))) == 1


async def test_lost_databases_and_buckets_come_back(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
    [dump, restore] = backups.steps("Postgres")
    for kind in ("postgres", "mongodb"):
        folder = tmp_path / kind
        folder.mkdir()
        with place_of("s3", folder, request) as place:
            async with settings_of(kind, request) as given, built_in(folder / "old", place, **given) as before:
                await fill(before)
                names = {"BACKUP": str(folder), "DATABASE": str(given.get("postgres_url")).replace("+asyncpg", "")}
                if kind == "postgres":
                    backups.run(dump, names)
                else:
                    backups.dump_mongodb(given["mongodb_url"], folder / "dump")
                kept = await backups.copy_objects(place)
            await backups.lose_objects(place)
            async with settings_of(kind, request) as given:
                if kind == "postgres":
                    backups.run(restore, {**names, "DATABASE": given["postgres_url"].replace("+asyncpg", "")})
                else:
                    backups.restore_mongodb(folder / "dump", given["mongodb_url"])
                await backups.return_objects(place, kept)
                async with built_in(folder / "new", place, **given) as after:
                    await check(after)
            assert not any([b"going" in await place.raw(path) for path in await place.paths()])


async def test_what_has_no_text_any_more_is_named_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document("tea", "Oolong."), document("lost", "Oolong, lost.")])
        objects = bootstrap.build_objects(CommonSettings(data_dir=tmp_path), knowledge_base.settings)
        await objects.erase("acme", "lost", 0)
        await knowledge_base.index.remove("acme", "tea", 1)
        [_ async for _ in knowledge_base.reindex.run()]
        assert knowledge_base.reindex.missing == [("acme", "lost", 1)]
        assert ("tea", 1) in await found_by(PAT, knowledge_base)


@pytest.mark.slow
async def test_the_commands_of_the_docs_bring_it_back(tmp_path: Path) -> None:
    back_up, restore = backups.steps("A folder")
    data, files = tmp_path / "data", tmp_path / "files"
    names = {"DATA": str(data), "BACKUP": str(tmp_path / "backup"), "TRIPTYCH_DATA_DIR": str(data)}
    files.mkdir()
    for number in range(3):
        (files / f"tea-{number}.md").write_text(f"# Tea {number}\n\nOolong is brewed at {80 + number} degrees.")
    (tmp_path / "backup").mkdir()
    backups.run(f"triptych keys create --owner ann && triptych ingest {files}", names)
    backups.run(back_up, names)
    shutil.rmtree(data)
    assert "3 versions are in the index again, in 3 chunks" in backups.run(restore, names)
    async with knowledge_base_in(data) as after:
        ann = AccessScope("local", "ann", clearance="internal")
        found = await after.index.search_text("oolong", Restriction(ann), 9)
        assert len({hit.document_id for hit in found}) == len(found) == 3
    shutil.rmtree(data / "knowledge-base" / "objects")
    said = backups.run("triptych reindex 2>&1 || echo it failed with $?", names)
    assert "3 versions have no text among the objects" in " ".join(said.split()) and "it failed with 2" in said
