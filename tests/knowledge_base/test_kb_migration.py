"""From the embedded profile into real MongoDB, Postgres, S3 and Azure: everything is as it was, and is found."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.errors import Conflict, NotFound
from common.files import FileState
from common.security.access import Access, AccessScope
from knowledge_base import bootstrap
from knowledge_base.adapters.objects import Objects
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.documents import FolderSource, KnownFile
from knowledge_base.migration import Place, migrate
from tests.support.catalogs import settings_of
from tests.support.knowledge import add_all, document, knowledge_base_in
from tests.support.object_stores import KEYRING, place_of
from tests.support.worlds import HashEmbedder

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
OPERATOR = AccessScope("acme", "operator", frozenset({"eng"}), "restricted")
PAT = AccessScope("acme", "pat")
SOURCE = FolderSource("acme", "docs", "/docs", Access("internal"), "alice")
FILE = KnownFile("a.md", FileState(1, 2, 3, 4), "d", 5.0, ("tea",))


def side(knowledge_base: KnowledgeBase, objects: Objects) -> Place:
    return Place(knowledge_base.catalog, knowledge_base.queue, knowledge_base.sources, objects)


async def fill(source: KnowledgeBase) -> None:
    await add_all(source, [document("tea", "Oolong one.", created_at=1000.0, metadata={"year": 2024, "tags": ["x"]})])
    await add_all(source, [document("tea", "Oolong two.", created_at=2000.0, metadata={"year": 2025})])
    await add_all(source, [document("mug", "A mug.", access=Access("restricted", frozenset({"eng"})))])
    await add_all(source, [document("again", "First life."), document("gone", "Gone.")])
    for name in ("again", "gone"):
        await source.library.delete(name, OPERATOR)
    await add_all(source, [document("again", "Second life.")])
    await source.sources.register(SOURCE)
    await source.sources.put(SOURCE, FILE)


@pytest.mark.parametrize(("catalog", "store"), [("mongodb", "s3"), ("postgres", "azure")])
async def test_everything_is_as_it_was(
    tmp_path: Path, catalog: str, store: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
    with place_of(store, tmp_path, request) as place:
        objects = Objects(place.location, KEYRING, place.account)
        monkeypatch.setattr(bootstrap, "build_objects", lambda *_: Objects(tmp_path / "old"))
        async with settings_of(catalog, request) as given, knowledge_base_in(tmp_path / "old") as old:
            await fill(old)
            monkeypatch.setattr(bootstrap, "build_objects", lambda *_: objects)
            async with knowledge_base_in(tmp_path / "new", **given) as new:
                here, there = side(old, Objects(tmp_path / "old")), side(new, objects)
                assert [done async for done in migrate(here, there)] == [True] * 3
                assert [done async for done in migrate(here, there)] == [False] * 3
                [_ async for _ in new.reindex.run()]
                for name in ("tea", "mug", "again"):
                    before, after = [await each.catalog.history(name, OPERATOR) for each in (old, new)]
                    kept = [replace(version, object_key="", text_key="") for version in before]
                    assert [replace(version, object_key="", text_key="") for version in after] == kept
                assert (await new.library.fetch("tea", PAT, 1)).text == "Oolong one."
                page = await new.search.search("oolong", PAT, as_of=1500.0)
                assert [(item.document_id, item.version) for item in page.items] == [("tea", 1)]
                with pytest.raises(NotFound):
                    await new.library.fetch("mug", PAT)
                assert await new.sources.registered() == [SOURCE]
                assert await new.sources.files(SOURCE) == {"a.md": FILE}
                assert len(await place.paths()) == 4
                await new.library.delete("again", OPERATOR)
                while await new.worker.work_once():
                    pass
                assert not any([b"life" in await place.raw(path) for path in await place.paths()])
                assert len(await place.paths()) == 3, "its objects are erased by the life that they are of"


async def test_while_jobs_wait_nothing_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
    async with knowledge_base_in(tmp_path) as old:
        await old.library.add(document("tea", "Oolong."), OPERATOR)
        place = side(old, Objects(tmp_path / "objects"))
        with pytest.raises(Conflict, match="1 jobs wait"):
            [_ async for _ in migrate(place, place)]


@pytest.mark.slow
def test_the_steps_of_the_docs_lead_there(tmp_path: Path, mongodb_database: str, s3_url: str) -> None:
    section = DOCS.read_text().split("## From the embedded profile to production", 1)[1]
    steps = re.findall(r"`triptych (\w+)`", section)
    assert steps == ["doctor", "migrate", "reindex", "doctor"]
    (tmp_path / "tea.md").write_text("# Tea\n\nOolong is brewed at 85 degrees.")
    parts = urlsplit(s3_url)
    embedded = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TRIPTYCH_DATA_DIR": str(tmp_path / "data")}
    production = {
        "KB_CATALOG": "mongodb",
        "KB_MONGODB_URL": mongodb_database,
        "KB_OBJECTS_URL": f"s3:/{parts.path}/{tmp_path.name}",
        "KB_OBJECTS_ENDPOINT": f"http://{parts.hostname}:{parts.port}",
        "AWS_ACCESS_KEY_ID": str(parts.username),
        "AWS_SECRET_ACCESS_KEY": str(parts.password),
        "TRIPTYCH_ENCRYPTION_KEY": "k" * 32,
    }

    def triptych(*words: str, env: dict[str, str]) -> str:
        program = Path(sys.executable).with_name("triptych")
        done = subprocess.run([program, *words], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    triptych("keys", "create", "--owner", "alice", env=embedded)
    triptych("ingest", str(tmp_path / "tea.md"), env=embedded)
    before, *rest = steps
    assert "sqlite: 0 jobs waiting" in triptych(before, env=embedded)
    said = [triptych(step, env=embedded | production) for step in rest]
    assert "1 documents copied" in said[0] and "1 versions" in said[1] and "mongodb: 0 jobs waiting" in said[2]
    assert "(sealed)" in said[2]
