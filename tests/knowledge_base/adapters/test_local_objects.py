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
        key = await objects.put(data)
        assert key == hashlib.sha256(data).hexdigest()
        assert await objects.put(data) == key
        assert await objects.get(key) == data
        assert (tmp_path / "a folder" / "objects" / "sha256" / key[:2] / key[2:]).read_bytes() == data


async def test_a_file_url_names_the_same_folder(tmp_path: Path) -> None:
    key = await LocalObjects(tmp_path / "a b").put(b"text")
    assert await LocalObjects(f"{tmp_path.as_uri()}/a%20b").get(key) == b"text"
    assert await LocalObjects(f"file://{tmp_path}/a b").get(key) == b"text"


async def test_other_urls_open_other_stores() -> None:
    objects = LocalObjects("memory:///")
    key = await objects.put(b"text")
    assert await objects.get(key) == b"text"


async def test_unknown_and_malformed_keys_are_not_found(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    for key in ("0" * 64, "", "../../etc/passwd", "0" * 63, "A" * 64, "0" * 64 + "\n", "/" * 64):
        with pytest.raises(NotFound):
            await objects.get(key)
    with pytest.raises(NotFound):
        await objects.delete("../x")
    await objects.delete("0" * 64)


async def test_deleted_is_gone(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    key = await objects.put(b"text")
    await objects.delete(key)
    await objects.delete(key)
    with pytest.raises(NotFound):
        await objects.get(key)
    assert not files_in(tmp_path)


async def test_damaged_objects_are_not_handed_out(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    key = await objects.put(b"text")
    (tmp_path / "sha256" / key[:2] / key[2:]).write_bytes(b"next")
    with pytest.raises(Unavailable, match="damaged"):
        await objects.get(key)


async def test_many_writers_of_the_same_object(tmp_path: Path) -> None:
    data = b"x" * 1_000_000
    stores = [LocalObjects(tmp_path) for _ in range(8)]
    keys = await asyncio.gather(*(store.put(data) for store in stores))
    assert len(set(keys)) == 1
    assert await stores[0].get(keys[0]) == data
    assert len(files_in(tmp_path)) == 1


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
