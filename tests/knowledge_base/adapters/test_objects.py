"""What every object store does, on a real folder, real S3 and real Azure Blob Storage; in the clear and sealed."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.errors import NotFound, SettingsError, Unavailable
from common.security.encryption import Keyring
from knowledge_base.adapters.object_stores import Account
from knowledge_base.adapters.objects import Objects
from tests.services import s3
from tests.support.object_stores import KEYRING, KINDS, NEW_KEY, OLD_KEY, Place, place_of

CANARY = b"Xylocarpus-7731"
LARGE = bytes(range(256)) * (9 * 4096)
"""9 MB: it goes in parts."""


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place_of(request.param, tmp_path, request) as found:
        yield found


@pytest.fixture(params=["clear", "sealed"])
def objects(request: pytest.FixtureRequest, place: Place) -> Objects:
    return Objects(place.location, KEYRING if request.param == "sealed" else None, place.account)


async def test_objects_come_back_by_their_key(objects: Objects) -> None:
    for data in (b"", b"text", LARGE):
        key = await objects.put(data, "acme", "doc")
        assert await objects.put(data, "acme", "doc") == key
        assert await objects.get(key) == data


async def test_unknown_and_malformed_keys_are_not_found(objects: Objects) -> None:
    valid = f"{'0' * 32}-{'0' * 64}"
    malformed = ("", "../../etc/passwd", "0" * 97, valid.replace("0", "A"), valid + "\n", "/" * 97)
    for key in (valid, f"{'0' * 32}-s{'0' * 64}", *malformed):
        with pytest.raises(NotFound):
            await objects.get(key)


async def test_documents_and_their_lives_share_no_object_so_that_one_can_be_erased(
    objects: Objects, place: Place
) -> None:
    owners = (("acme", "a", 0), ("acme", "b", 0), ("other", "a", 0), ("acme", "a", 1))
    keys = [await objects.put(b"text", *owner) for owner in owners]
    await objects.put(b"other text", *owners[0])
    assert len(set(keys)) == 4 and len(await place.paths()) == 5
    for _ in range(2):
        await objects.erase(*owners[0])
    with pytest.raises(NotFound):
        await objects.get(keys[0])
    assert [await objects.get(key) for key in keys[1:]] == [b"text"] * 3
    assert len(await place.paths()) == 3


async def test_damaged_objects_are_not_handed_out(objects: Objects, place: Place) -> None:
    key = await objects.put(b"text", "acme", "doc")
    [path] = await place.paths()
    stored = await place.raw(path)
    for damaged in (bytes([*stored[:-1], stored[-1] ^ 1]), b""):
        await place.store.put_async(path, damaged)
        with pytest.raises(Unavailable, match="damaged|cannot be opened"):
            await objects.get(key)


async def test_many_writers_of_the_same_object(objects: Objects, place: Place) -> None:
    keys = await asyncio.gather(*(objects.put(CANARY * 10_000, "acme", "doc") for _ in range(8)))
    assert len(set(keys)) == 1
    assert await objects.get(keys[0]) == CANARY * 10_000
    assert len(await place.paths()) == 1


async def test_with_a_key_the_store_holds_no_plain_text_and_no_hash_of_it(place: Place) -> None:
    clear, sealed = Objects(place.location, None, place.account), Objects(place.location, KEYRING, place.account)
    key = await clear.put(CANARY, "acme", "doc")
    digest = key.rpartition("-")[2]
    assert [CANARY in await place.raw(path) for path in await place.paths()] == [True], "the check would not find it"
    await clear.erase("acme", "doc")
    await sealed.put(CANARY, "acme", "doc")
    await sealed.put(CANARY + LARGE, "acme", "doc")
    assert len(await place.paths()) == 2
    assert not any([CANARY in await place.raw(path) or digest in path for path in await place.paths()])


async def test_sealed_objects_cannot_change_places(place: Place) -> None:
    objects = Objects(place.location, KEYRING, place.account)
    keys = [await objects.put(text, "acme", "doc") for text in (b"pay 1", b"pay 1000")]
    first, second = (f"{key[:2]}/{key[2:32]}/{key[33:]}" for key in keys)
    await place.store.put_async(first, await place.raw(second))
    with pytest.raises(Unavailable, match="moved"):
        await objects.get(keys[0])


async def test_keys_change_with_overlap_and_old_ones_go_after_all_is_sealed_again(place: Place) -> None:
    old = Objects(place.location, Keyring(OLD_KEY), place.account)
    both = Objects(place.location, Keyring(NEW_KEY, [OLD_KEY]), place.account)
    new = Objects(place.location, Keyring(NEW_KEY), place.account)
    clear = await Objects(place.location, None, place.account).put(b"from before", "acme", "doc")
    key = await old.put(b"text", "acme", "doc")
    assert await both.put(b"text", "acme", "doc") == key, "the same content is the same object"
    assert await both.get(key) == b"text" and await both.get(clear) == b"from before"
    with pytest.raises(Unavailable, match="ENCRYPTION_OLD_KEYS"):
        await new.get(key)
    assert [done async for done in both.reseal()] == [True]
    assert [done async for done in both.reseal()] == [False]
    assert await new.get(key) == b"text"
    with pytest.raises(Unavailable, match="TRIPTYCH_ENCRYPTION_KEY"):
        await Objects(place.location, None, place.account).get(key)


@pytest.mark.parametrize("data", [b"text", LARGE], ids=["small", "large"])
async def test_what_is_erased_while_it_is_sealed_again_stays_gone(place: Place, data: bytes) -> None:
    class Slow(Keyring):
        """Meanwhile a server erases the document."""

        def seal(self, plain: bytes, aad: bytes) -> bytes:
            server = threading.Thread(target=asyncio.run, args=(old.erase("acme", "doc"),))
            server.start()
            server.join()
            return super().seal(plain, aad)

    old = Objects(place.location, Keyring(OLD_KEY), place.account)
    key = await old.put(data, "acme", "doc")
    resealing = Objects(place.location, Slow(NEW_KEY, [OLD_KEY]), place.account)
    assert [done async for done in resealing.reseal()] == []
    with pytest.raises(NotFound):
        await resealing.get(key)
    assert await place.paths() == []


@pytest.mark.parametrize("kind", ["s3", "azure"])
async def test_failures_say_what_to_do_and_nothing_of_the_account(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place_of(kind, tmp_path, request) as place:
        if kind == "azure":  # SeaweedFS makes a bucket that is missing
            with pytest.raises(Unavailable, match="is not there"):
                await Objects("az://absent/x", None, place.account).put(b"text", "acme", "doc")
        nobody = Account("http://127.0.0.1:9/tests", place.account.name, place.account.key)
        with pytest.raises(Unavailable) as refused:
            await Objects(place.location, None, nobody).put(b"text", "acme", "doc")
        assert "127.0.0.1" not in str(refused.value)
        if kind == "s3":
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
            with pytest.raises(Unavailable, match="refuses its credentials"):
                await Objects(place.location, None, place.account).put(b"text", "acme", "doc")


async def test_without_aws_credentials_the_settings_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SettingsError, match="no AWS credentials"):
        await Objects("s3://bucket").get(f"{'0' * 32}-{'0' * 64}")


async def test_the_role_of_a_container_is_used_and_renewed(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the address that ECS and EKS give to containers; here it tells the credentials of the server."""
    parts, asked = urlsplit(s3_url), []

    class Role(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            soon = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            body = {"AccessKeyId": parts.username, "SecretAccessKey": parts.password, "Token": "", "Expiration": soon}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Role)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/role")
    location = f"s3://{s3.BUCKET}/{tmp_path.name}"
    account = Account(f"http://127.0.0.1:{parts.port}")
    try:
        for _ in range(2):
            objects = Objects(location, None, account)
            assert await objects.get(await objects.put(b"text", "acme", "doc")) == b"text"
    finally:
        server.shutdown()
        server.server_close()
    assert len(asked) >= 2


async def test_a_file_url_names_the_same_folder(tmp_path: Path) -> None:
    key = await Objects(tmp_path / "a b").put(b"text", "acme", "doc")
    assert await Objects(f"{tmp_path.as_uri()}/a%20b").get(key) == b"text"
    assert await Objects(f"file://{tmp_path}/a b").get(key) == b"text"


async def test_what_a_killed_writer_leaves_is_erased_too(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    await objects.put(b"text", "acme", "doc")
    [file] = files_in(tmp_path)
    file.with_name(f"{file.name}#1").write_bytes(b"a part")
    await objects.erase("acme", "doc")
    assert not files_in(tmp_path)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
