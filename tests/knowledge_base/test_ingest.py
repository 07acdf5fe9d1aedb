"""Files of folders: which document each of them is."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from common.security.access import Access, AccessScope
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.documents import FolderSource
from knowledge_base.sources import find_sources, place_of
from tests.support.knowledge import knowledge_base_in

BOTH = AccessScope("acme", "ed", frozenset({"eng", "hr"}), "internal")
ERIK = AccessScope("acme", "erik", frozenset({"eng"}), "internal")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two folders with a file of the same name."""
    for group in ("eng", "hr"):
        (tmp_path / "in" / group).mkdir(parents=True)
        (tmp_path / "in" / group / "README.md").write_text(f"# Readme\n\nOf {group}.")
    return tmp_path / "in"


@pytest.fixture
async def kb(tmp_path: Path, folders: Path) -> AsyncIterator[KnowledgeBase]:
    async with knowledge_base_in(tmp_path / "data", allowed_paths=[str(folders)]) as knowledge_base:
        yield knowledge_base


async def started(kb: KnowledgeBase, group: str, *paths: Path) -> list[str]:
    """What was refused, and why."""
    batch = await kb.ingest.start([str(path) for path in paths], BOTH, Access("internal", frozenset({group})))
    while await kb.worker.work_once():
        pass
    status = await kb.queue.progress(batch)
    assert status is not None
    return [str(error["error"]) for error in status.errors]


async def commanded(kb: KnowledgeBase, path: str, force: bool = False) -> list[str]:
    """The same by the command line."""
    with ExitStack() as stack:
        sources = find_sources([place_of(Path(path))], kb.ingest.rules, stack)
        accept = kb.ingest.accept(sources, BOTH, Access("internal"), "batch", True, True, force)
        found = [outcome async for outcome in accept]
    while await kb.worker.work_once():
        pass
    return [outcome.refused or str(outcome.accepted and outcome.accepted.version) for outcome in found]


async def texts(kb: KnowledgeBase, who: AccessScope) -> list[tuple[str, int]]:
    page, _ = await kb.library.page(who, 10)
    return [((await kb.library.fetch(each.document_id, who)).text.split()[-1], each.version) for each in page]


async def test_files_of_two_folders_are_never_one_document(kb: KnowledgeBase, folders: Path) -> None:
    assert await started(kb, "eng", folders / "eng") == []
    for paths in ([folders / "hr"], [folders / "hr" / "README.md"]):
        [refused] = await started(kb, "hr", *paths)
        assert "in another folder (eng-" in refused and "Name the folder above both" in refused
    assert await texts(kb, ERIK) == [("eng.", 1)]
    assert await started(kb, "hr", folders) == []
    assert sorted(await texts(kb, BOTH)) == [("eng.", 1), ("eng.", 1), ("hr.", 1)]
    handbook = FolderSource("acme", "handbook", str(folders / "hr"), Access("internal"), "ops")
    assert all(outcome.accepted for outcome in (await kb.sync.run(handbook)).outcomes)
    assert await started(kb, "hr", folders / "eng", folders / "hr") != []


async def test_a_folder_is_the_same_wherever_it_is_named_from(
    kb: KnowledgeBase, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await started(kb, "eng", folders / "eng") == []
    monkeypatch.chdir(folders / "hr")
    for path in ("../eng", "../eng/README.md", str(folders / "hr" / ".." / "eng")):
        assert await commanded(kb, path) == ["1"], path
    (folders / "eng" / "README.md").write_text("# Readme\n\nNew of eng.")
    assert await commanded(kb, "../eng") == ["2"]


async def test_a_link_that_leads_to_the_next_release_is_the_same_folder(tmp_path: Path, folders: Path) -> None:
    current = tmp_path / "current"
    current.symlink_to(folders / "eng")
    async with knowledge_base_in(tmp_path / "data", allowed_paths=[str(current)]) as kb:
        assert await started(kb, "eng", current) == []
        current.unlink()
        current.symlink_to(folders / "hr")
        assert await started(kb, "eng", current) == [] and await texts(kb, ERIK) == [("hr.", 2)]
        (folders / "hr" / "README.md").write_text("# Readme\n\nNew.")
        assert await commanded(kb, str(current)) == ["3"]


async def test_a_folder_that_moved_takes_its_place_by_force(kb: KnowledgeBase, folders: Path) -> None:
    await started(kb, "eng", folders / "eng")
    (folders / "eng").rename(folders / "moved")
    [refused] = await commanded(kb, str(folders / "moved"))
    assert "--force" in refused
    assert await commanded(kb, str(folders / "moved"), force=True) == ["2"]
    assert await commanded(kb, str(folders / "moved")) == ["2"]
