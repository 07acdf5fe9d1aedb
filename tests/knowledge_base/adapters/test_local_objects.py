"""Objects by their hash, on a real folder."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from common.errors import NotFound, Unavailable
from knowledge_base.adapters.local_objects import LocalObjects


async def test_objects_come_back_by_their_hash(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "a folder" / "objects")
    for data in (b"", b"text", bytes(range(256)) * 20_000):
        key = await objects.put(data, "acme", "doc")
        assert key.endswith(hashlib.sha256(data).hexdigest())
        assert await objects.put(data, "acme", "doc") == key
        assert await objects.get(key) == data


async def test_a_file_url_names_the_same_folder(tmp_path: Path) -> None:
    key = await LocalObjects(tmp_path / "a b").put(b"text", "acme", "doc")
    assert await LocalObjects(f"{tmp_path.as_uri()}/a%20b").get(key) == b"text"
    assert await LocalObjects(f"file://{tmp_path}/a b").get(key) == b"text"


async def test_other_urls_open_other_stores() -> None:
    objects = LocalObjects("memory:///")
    key = await objects.put(b"text", "acme", "doc")
    assert await objects.get(key) == b"text"


async def test_unknown_and_malformed_keys_are_not_found(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    valid = f"{'0' * 32}-{'0' * 64}"
    for key in (valid, "", "../../etc/passwd", "0" * 97, valid.upper().replace("0", "A"), valid + "\n", "/" * 97):
        with pytest.raises(NotFound):
            await objects.get(key)


@pytest.mark.parametrize("url", ["memory:///", "folder"])
async def test_documents_and_their_lives_share_no_object_so_that_one_can_be_erased(tmp_path: Path, url: str) -> None:
    objects = LocalObjects(tmp_path if url == "folder" else url)
    places = (("acme", "a", 0), ("acme", "b", 0), ("other", "a", 0), ("acme", "a", 1))
    keys = [await objects.put(b"text", *place) for place in places]
    assert len(set(keys)) == 4
    await objects.erase(*places[0])
    with pytest.raises(NotFound):
        await objects.get(keys[0])
    assert [await objects.get(key) for key in keys[1:]] == [b"text"] * 3


async def test_erased_is_gone(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    for data in (b"text", b"other text"):
        await objects.put(data, "acme", "doc")
    file = files_in(tmp_path)[0]
    file.with_name(f"{file.name}#1").write_bytes(b"what a killed writer leaves")
    for _ in range(2):
        await objects.erase("acme", "doc")
    assert not files_in(tmp_path)


async def test_damaged_objects_are_not_handed_out(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    key = await objects.put(b"text", "acme", "doc")
    [file] = files_in(tmp_path)
    file.write_bytes(b"next")
    with pytest.raises(Unavailable, match="damaged"):
        await objects.get(key)


async def test_many_writers_of_the_same_object(tmp_path: Path) -> None:
    data = b"x" * 1_000_000
    stores = [LocalObjects(tmp_path) for _ in range(8)]
    keys = await asyncio.gather(*(store.put(data, "acme", "doc") for store in stores))
    assert len(set(keys)) == 1
    assert await stores[0].get(keys[0]) == data
    assert len(files_in(tmp_path)) == 1


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
