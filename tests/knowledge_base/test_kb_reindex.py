"""The index is a copy: lost, it comes back from catalogue and objects, and another model gets one of its own."""

import shutil
from pathlib import Path

import pytest

from common.security.access import Access, AccessScope
from knowledge_base import bootstrap
from knowledge_base.filters import Restriction
from tests.support.catalogs import settings_of
from tests.support.knowledge import add_all, document, knowledge_base_in
from tests.support.worlds import HashEmbedder

OPERATOR = AccessScope("acme", "operator", clearance="restricted")
PAT = AccessScope("acme", "pat")
SECRET = Access("restricted")


class OtherEmbedder(HashEmbedder):
    model = "another/model"


@pytest.mark.parametrize("kind", ["sqlite", "mongodb"])
async def test_a_lost_index_comes_back(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
    async with settings_of(kind, request) as given:
        async with knowledge_base_in(tmp_path, **given) as before:
            many = [document(f"d{n:03}", f"Oolong {n}.") for n in range(70)]
            await add_all(
                before, [*many, document("tea", "Oolong one.", created_at=1000.0), document("gone", "Oolong.")]
            )
            await add_all(before, [document("tea", "Oolong two.", created_at=2000.0)])
            await add_all(
                before, [document("own", "Oolong.", tenant="other"), document("d001", "Oolong!", access=SECRET)]
            )
            await before.library.delete("gone", OPERATOR)
            while await before.worker.work_once():
                pass
            count = await before.index.count()
        for folder in (tmp_path / "knowledge-base").glob("index*"):
            shutil.rmtree(folder)
        async with knowledge_base_in(tmp_path, **given) as after:
            assert await after.index.count() == 0
            done = [step async for step in after.reindex.run()]
            assert sum(versions for versions, _ in done) == 74 and len(done) == 3
            assert await after.index.count() == count
            for as_of, version in ((None, 2), (1500.0, 1)):
                page = await after.search.search("oolong", PAT, 100, as_of=as_of)
                found = {item.document_id: item.version for item in page.items}
                also = {one for item in page.items for one in item.also_in}
                assert found["tea"] == version and not {"gone", "own", "d001"} & {*found, *also}
            [_ async for _ in after.reindex.run()]
            assert await after.index.count() == count, "it is safe to repeat"


async def test_another_model_is_filled_while_the_first_one_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
    async with knowledge_base_in(tmp_path) as serving:
        await add_all(serving, [document("tea", "Oolong.")])
        monkeypatch.setattr(bootstrap, "OnnxEmbedder", OtherEmbedder)
        async with knowledge_base_in(tmp_path) as filling:
            assert await filling.index.count() == 0
            [_ async for _ in filling.reindex.run()]
            assert [item.document_id for item in (await filling.search.search("oolong", PAT)).items] == ["tea"]
        assert [item.document_id for item in (await serving.search.search("oolong", PAT)).items] == ["tea"]


async def test_what_changes_meanwhile_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
    async with knowledge_base_in(tmp_path) as knowledge_base:
        await add_all(knowledge_base, [document(name, f"Oolong {name}.") for name in ("kept", "gone", "secret")])
        add = knowledge_base.index.add

        async def interrupted(chunks: object) -> None:
            await knowledge_base.library.set_access("secret", SECRET, OPERATOR)
            await knowledge_base.library.delete("gone", OPERATOR)
            while await knowledge_base.worker.work_once():
                pass
            await add(chunks)  # type: ignore[arg-type]

        monkeypatch.setattr(knowledge_base.index, "add", interrupted)
        [_ async for _ in knowledge_base.reindex.run()]
        found = await knowledge_base.index.search_text("oolong", Restriction(PAT), 10)
        assert [hit.document_id for hit in found] == ["kept"]
