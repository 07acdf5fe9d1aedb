"""A followed folder: added, changed and deleted files, and what must never happen to anything else."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.errors import Conflict, InvalidInput, Unavailable
from common.files import Folder
from common.security.access import Access, AccessScope
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.documents import FolderSource
from knowledge_base.filters import Restriction
from knowledge_base.sync import Plan
from tests.support.knowledge import add_all, document, knowledge_base_in

READER = AccessScope("acme", "pat")


@pytest.fixture
async def kb(tmp_path: Path) -> AsyncIterator[KnowledgeBase]:
    async with knowledge_base_in(tmp_path / "data") as knowledge_base:
        yield knowledge_base


@pytest.fixture
def handbook(tmp_path: Path) -> FolderSource:
    """Four files, two of them in a folder."""
    root = tmp_path / "handbook"
    (root / "tea").mkdir(parents=True)
    for name in ("a.md", "b.md", "tea/green.md", "tea/black.md"):
        (root / name).write_text(f"# {name}\n\nText of {name}.")
    return FolderSource("acme", "handbook", str(root), Access("public"), "cli:ada")


async def synced(kb: KnowledgeBase, source: FolderSource, **options: bool) -> Plan:
    plan = await kb.sync.run(source, **options)
    while await kb.worker.work_once():
        pass
    return plan


async def texts(kb: KnowledgeBase) -> dict[str, str]:
    """What can be read, by the name of its file."""
    page = await kb.catalog.page(Restriction(READER), 500)
    found = [await kb.library.fetch(version.document_id, READER) for version, _ in page]
    return {str(item.version.metadata.get("source", item.version.document_id)): item.text for item in found}


async def test_additions_changes_and_deletions_are_followed(kb: KnowledgeBase, handbook: FolderSource) -> None:
    root = Path(handbook.root)
    await add_all(kb, [document("elsewhere", "not of this folder")])
    plan = await synced(kb, handbook)
    assert (len(plan.added), len(plan.changed), plan.vanished) == (4, 0, [])
    (root / "a.md").write_text("# A\n\nAnother text.")
    (root / "b.md").unlink()
    (root / "c.md").write_text("new")
    plan = await synced(kb, handbook)
    assert (len(plan.added), len(plan.changed), plan.vanished) == (1, 1, ["b.md"])
    names = {"handbook/a.md", "handbook/c.md", "handbook/tea/green.md", "handbook/tea/black.md", "elsewhere"}
    assert set(found := await texts(kb)) == names
    assert "Another text" in found["handbook/a.md"]
    plan = await synced(kb, handbook)
    assert not plan.added and not plan.changed and not plan.vanished and plan.unchanged == 4


async def test_a_renamed_file_is_never_missing(kb: KnowledgeBase, handbook: FolderSource) -> None:
    await synced(kb, handbook)
    (Path(handbook.root) / "a.md").rename(Path(handbook.root) / "z.md")
    plan = await synced(kb, handbook)
    assert [seen.source.path for seen in plan.added] == ["z.md"] and plan.vanished == ["a.md"]
    assert "Text of a.md" in (await texts(kb))["handbook/z.md"]


async def test_an_editor_that_replaces_the_file_makes_one_version(kb: KnowledgeBase, handbook: FolderSource) -> None:
    await synced(kb, handbook)
    other = Path(handbook.root) / ".a.md.swp"
    other.write_text("# A\n\nSaved by rename.")
    other.rename(Path(handbook.root) / "a.md")
    plan = await synced(kb, handbook)
    assert len(plan.changed) == 1 and not plan.added and not plan.vanished


async def test_unchanged_files_are_not_read(
    kb: KnowledgeBase, handbook: FolderSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowledge_base.sync._SETTLED_SECONDS", -60)
    await synced(kb, handbook)
    read: list[str] = []
    real = Folder.open

    def noted(self: Folder, path: str) -> Any:
        read.append(path)
        return real(self, path)

    monkeypatch.setattr(Folder, "open", noted)
    assert (await synced(kb, handbook)).unchanged == 4 and read == []
    assert (await synced(kb, handbook, checksum=True)).unchanged == 4 and len(read) == 4
    os.utime(Path(handbook.root) / "a.md", (0, 0))
    plan = await synced(kb, handbook)
    assert len(plan.touched) == 1 and read[4:] == ["a.md"]


async def test_a_dry_run_changes_nothing(kb: KnowledgeBase, handbook: FolderSource) -> None:
    assert len((await synced(kb, handbook, dry_run=True)).added) == 4
    assert await texts(kb) == {}
    await synced(kb, handbook)
    (Path(handbook.root) / "b.md").unlink()
    assert (await synced(kb, handbook, dry_run=True)).vanished == ["b.md"]
    assert "handbook/b.md" in await texts(kb)


async def test_the_brake_holds_when_more_than_half_is_gone(kb: KnowledgeBase, handbook: FolderSource) -> None:
    await synced(kb, handbook)
    for name in ("a.md", "b.md", "tea/green.md"):
        (Path(handbook.root) / name).unlink()
    with pytest.raises(Conflict, match="3 of 4 files are gone.*--force"):
        await synced(kb, handbook)
    assert len(await texts(kb)) == 4
    assert len((await synced(kb, handbook, force=True)).deleted) == 3
    assert set(await texts(kb)) == {"handbook/tea/black.md"}


async def test_an_empty_or_missing_folder_is_an_error(kb: KnowledgeBase, handbook: FolderSource) -> None:
    await synced(kb, handbook)
    root = Path(handbook.root)
    os.rename(root, root.parent / "away")
    with pytest.raises(InvalidInput, match="mounted"):
        await synced(kb, handbook, force=True)
    os.mkdir(root)
    with pytest.raises(InvalidInput, match="mounted"):
        await synced(kb, handbook, force=True)
    assert len(await texts(kb)) == 4


async def test_what_cannot_be_seen_is_not_deleted(kb: KnowledgeBase, handbook: FolderSource) -> None:
    """A folder that everybody may write, a file with a second name, one that is damaged: refused, but not gone."""
    await synced(kb, handbook)
    root = Path(handbook.root)
    (root / "tea").chmod(0o777)
    os.link(root / "b.md", root.parent / "second-name.md")
    (root / "a.md").write_bytes(b"MZ\x00\x01 no text any more")
    plan = await synced(kb, handbook)
    assert plan.vanished == [] and {item.relative for item in plan.refused} == {"tea", "b.md"}
    assert "Text of a.md" in (await texts(kb))["handbook/a.md"] and len(await texts(kb)) == 4


async def test_documents_of_others_are_neither_replaced_nor_deleted(kb: KnowledgeBase, handbook: FolderSource) -> None:
    root = Path(handbook.root)
    await add_all(kb, [document("theirs", "of somebody else")])
    (root / "lines.jsonl").write_text('{"id": "theirs", "text": "mine now"}\n{"id": "ours", "text": "one"}')
    plan = await synced(kb, handbook)
    assert [outcome.refused for outcome in plan.outcomes if not outcome.accepted] == [
        "The id theirs is that of a document from elsewhere."
    ]
    await add_all(kb, [document("ours", "somebody wrote on it")])
    (root / "lines.jsonl").unlink()
    plan = await synced(kb, handbook)
    assert plan.kept == ["ours"] and plan.deleted == []
    found = await texts(kb)
    assert found["theirs"] == "of somebody else" and found["ours"] == "somebody wrote on it"


async def test_lines_that_vanish_are_deleted(kb: KnowledgeBase, handbook: FolderSource) -> None:
    lines = Path(handbook.root) / "lines.jsonl"
    lines.write_text('{"id": "one", "text": "1"}\n{"id": "two", "text": "2"}')
    await synced(kb, handbook)
    lines.write_text('{"id": "two", "text": "2"}\n{"id": "three", "text": "3"}')
    plan = await synced(kb, handbook)
    assert plan.deleted == ["one"]
    assert {"two", "three"} <= set(await texts(kb)) and "one" not in await texts(kb)


def written(lines: Path, *numbers: int) -> None:
    lines.write_text("\n".join(f'{{"id": "line-{number}", "text": "Tea {number}."}}' for number in numbers))


async def test_the_brake_holds_for_lines_too(kb: KnowledgeBase, handbook: FolderSource) -> None:
    """A file that is being rewritten has whole lines only, and is not whole."""
    lines = Path(handbook.root) / "lines.jsonl"
    written(lines, 1, 2, 3, 4, 5)
    await synced(kb, handbook)
    for found in ((1, 6), (1, 6), (1, 6, 7), (6, 7, 8, 9, 10)):
        written(lines, *found)
        plan = await synced(kb, handbook)
        [refused] = [outcome.refused for outcome in plan.outcomes if not outcome.accepted]
        assert plan.deleted == [] and "lines are gone, more than 50%: none was deleted" in refused
    written(lines, 2, 3, 4, 5, 6)
    assert (await synced(kb, handbook)).deleted == ["line-1"]
    written(lines, 2)
    assert len((await synced(kb, handbook, force=True)).deleted) == 4


async def test_lines_that_move_to_another_file_are_not_gone(kb: KnowledgeBase, handbook: FolderSource) -> None:
    written(Path(handbook.root) / "m.jsonl", 1, 2, 3, 4, 5)
    await synced(kb, handbook)
    written(Path(handbook.root) / "n.jsonl", 3, 4, 5)
    written(Path(handbook.root) / "m.jsonl", 1, 2)
    plan = await synced(kb, handbook)
    assert plan.deleted == [] and all(outcome.accepted for outcome in plan.outcomes)


async def test_lines_of_a_file_that_changes_meanwhile_are_not_missed(
    kb: KnowledgeBase, handbook: FolderSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Path(handbook.root) / "lines.jsonl"
    written(lines, 1, 2, 3, 4)
    await synced(kb, handbook)
    scanner = kb.library._check_file._scanner

    class Slow:
        async def scan(self, data: bytes) -> str | None:
            written(lines, 1, 2, 3, 4)
            return None

    monkeypatch.setattr("knowledge_base.sync.GROUP", 2)
    kb.library._check_file._scanner = Slow()
    written(lines, 1, 2, 3)
    plan = await synced(kb, handbook)
    assert plan.deleted == []
    assert any("was changed while it was read" in outcome.refused for outcome in plan.outcomes)
    kb.library._check_file._scanner = scanner
    assert (await synced(kb, handbook)).deleted == []
    assert "line-4" in await texts(kb)


async def test_a_new_version_does_not_undo_a_change_of_access(kb: KnowledgeBase, handbook: FolderSource) -> None:
    await synced(kb, handbook)
    page = await kb.catalog.page(Restriction(READER), 10)
    [hidden] = [version for version, _ in page if version.metadata["source"] == "handbook/a.md"]
    boss = AccessScope("acme", "boss", clearance="restricted")
    await kb.library.set_access(hidden.document_id, Access("restricted"), boss)
    (Path(handbook.root) / "a.md").write_text("changed and still secret")
    await synced(kb, handbook)
    assert "handbook/a.md" not in await texts(kb)
    assert "still secret" in (await kb.library.fetch(hidden.document_id, boss)).text


async def test_a_change_of_access_during_a_pass_counts(kb: KnowledgeBase, handbook: FolderSource) -> None:
    await synced(kb, handbook)
    ids = [version.document_id for version, _ in await kb.catalog.page(Restriction(READER), 10)]
    boss = AccessScope("acme", "boss", clearance="restricted")

    class Slow:
        async def scan(self, data: bytes) -> str | None:
            for document_id in ids:
                if await kb.catalog.access("acme", document_id) == handbook.access:
                    await kb.library.set_access(document_id, Access("restricted"), boss)
            return None

    kb.library._check_file._scanner = Slow()
    (Path(handbook.root) / "a.md").write_text("changed and secret by now")
    await synced(kb, handbook)
    assert await texts(kb) == {}


async def test_a_source_keeps_its_folder_and_access(kb: KnowledgeBase, handbook: FolderSource, tmp_path: Path) -> None:
    await synced(kb, handbook)
    for other in (replace(handbook, root=str(tmp_path)), replace(handbook, access=Access("restricted"))):
        with pytest.raises(InvalidInput, match="Use another name"):
            await kb.sync.run(other)


async def test_a_file_that_was_refused_for_now_is_tried_again(kb: KnowledgeBase, handbook: FolderSource) -> None:
    class Down:
        async def scan(self, data: bytes) -> str | None:
            raise Unavailable("The malware scanner does not answer.")

    up = kb.library._check_file._scanner
    kb.library._check_file._scanner = Down()
    plan = await synced(kb, handbook)
    assert len([outcome for outcome in plan.outcomes if "does not answer" in outcome.refused]) == 4
    assert await texts(kb) == {}
    kb.library._check_file._scanner = up
    await synced(kb, handbook)
    assert len(await texts(kb)) == 4
