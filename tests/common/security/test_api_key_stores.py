"""One contract for API keys in a file and in the database; replicas that share the database see what changed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.errors import NotFound
from common.security.api_key_stores import ApiKeys, opened_api_keys
from common.security.api_keys import ApiKey
from common.settings import CommonSettings
from tests.common.resilience.test_failures import signed_in
from tests.support.apps import small_server


@pytest.fixture(params=["file", "sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> CommonSettings:
    if request.param == "file":
        return CommonSettings(data_dir=tmp_path)
    if request.param == "sqlite":
        return CommonSettings(data_dir=tmp_path, database_url=f"sqlite+aiosqlite:///{tmp_path}/shared.db")
    return CommonSettings(data_dir=tmp_path, database_url=request.getfixturevalue("postgres_database"))


@pytest.fixture
async def keys(settings: CommonSettings) -> AsyncIterator[ApiKeys]:
    async with opened_api_keys(settings) as opened:
        yield opened


async def made(keys: ApiKeys) -> tuple[ApiKey, str]:
    return await keys.create("alice", "acme", ["user", "editor"], ["eng"], "confidential", 30)


async def test_a_key_is_found_by_its_token_and_no_other(keys: ApiKeys) -> None:
    key, token = await made(keys)
    assert await keys.verify(token) == key == await keys.get(key.id)
    assert (key.roles, key.groups, key.clearance) == (["user", "editor"], ["eng"], "confidential")
    for wrong in (token[:-1], f"tk_{key.id}_", f"tk_{key.id}", "tk_", "tk_\0_x", "tk_' OR 1=1_x", "tk_nobody_x"):
        assert await keys.verify(wrong) is None
    assert [each.hash for each in await keys.all()] == [key.hash] and key.hash not in token


async def test_a_revoked_key_is_refused_at_once_and_by_all(keys: ApiKeys, settings: CommonSettings) -> None:
    key, token = await made(keys)
    async with opened_api_keys(settings) as elsewhere:
        assert await elsewhere.verify(token)
        assert (await keys.revoke(key.id)).state == "revoked"
        assert await elsewhere.verify(token) is None and await elsewhere.get(key.id) is None
    assert [each.state for each in await keys.all()] == ["revoked"]
    with pytest.raises(NotFound):
        await keys.revoke("nobody")


async def test_a_rotated_key_overlaps_with_its_successor(keys: ApiKeys) -> None:
    key, token = await made(keys)
    successor, new_token = await keys.rotate(key.id, overlap_hours=1)
    assert await keys.verify(token) and await keys.verify(new_token)
    assert successor.expires - successor.created == pytest.approx(30 * 86_400)
    await keys.rotate(successor.id, overlap_hours=0)
    assert await keys.verify(new_token) is None
    with pytest.raises(NotFound):
        await keys.rotate("nobody")


async def test_servers_that_share_a_database_share_keys(tmp_path: Path) -> None:
    shared = {"database_url": f"sqlite+aiosqlite:///{tmp_path}/shared.db"}
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    async with small_server(folders[0], **shared) as one, small_server(folders[1], **shared) as two:
        key, token = await one.runtime.credentials.keys.create("alice", "acme", ["user"], [])
        assert (await signed_in(one, token), await signed_in(two, token)) == (200, 200)
        await one.runtime.credentials.keys.revoke(key.id)
        assert await signed_in(two, token) == 401
        with pytest.raises(TypeError):
            _ = two.runtime.credentials.api_keys
