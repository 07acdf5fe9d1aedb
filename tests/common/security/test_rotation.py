"""Passwords and keys change while processes run: nobody restarts, and in the overlap old and new are both tried."""

import asyncio
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import create_engine
from common.http.credentials import RotatingHeaders
from common.redis_client import connect_redis
from common.runtime import build_runtime
from common.security.secret_cache import open_cache
from common.security.secret_stores.environment import EnvironmentSecrets
from common.security.secrets import Rotating, SecretCache, Template
from common.settings import CommonSettings, load_settings
from tests.common.http.test_client import GET, client_of


class Vaulted:
    """A password in a file, and a setting that refers to it."""

    def __init__(self, folder: Path, template: str) -> None:
        self._file = folder / "db"
        self._count = 0
        self.cache = SecretCache(EnvironmentSecrets(folder), ttl_seconds=0.0)
        self.setting = Rotating(Template(template), self.cache)

    def put(self, password: str) -> None:
        self._file.write_text(json.dumps({"password": password}))

    def notice(self) -> None:
        """What happens in the background."""
        self.cache.refresh()


async def who(engine: AsyncEngine) -> int:
    """Number of the server's process that answers: one for each connection."""
    async with engine.connect() as connection:
        return int((await connection.execute(text("select pg_backend_pid()"))).scalar_one())


@asynccontextmanager
async def role(url: str) -> AsyncIterator[tuple[str, AsyncEngine]]:
    name, admin = f"app_{secrets.token_hex(4)}", create_engine(url)
    async with admin.begin() as connection:
        await connection.execute(text(f"create role {name} login password 'one'"))
    yield name, admin
    async with admin.begin() as connection:
        await connection.execute(text(f"drop role {name}"))
    await admin.dispose()


async def set_password(admin: AsyncEngine, name: str, password: str) -> None:
    async with admin.begin() as connection:
        await connection.execute(text(f"alter role {name} password '{password}'"))


async def test_postgres_passwords_change_under_a_pool(postgres_url: str, tmp_path: Path) -> None:
    known = make_url(postgres_url)
    async with role(postgres_url) as (name, admin):
        vaulted = Vaulted(
            tmp_path,
            f"postgresql+asyncpg://{name}:${{secret://db#password}}@{known.host}:{known.port}/{known.database}",
        )
        vaulted.put("one")
        engine = create_engine(vaulted.setting.value(), follow=vaulted.setting)
        try:
            first = await who(engine)
            assert await who(engine) == first
            # The secret first, the database later: the new value is refused, the old one still good.
            vaulted.put("two")
            vaulted.notice()
            second = await who(engine)
            assert second != first
            assert await who(engine) == second
            # The database first, the secret later, and nobody told us: the refusal makes us look.
            await set_password(admin, name, "three")
            vaulted.put("three")
            async with asyncio.timeout(20):
                while not await _answers(engine):
                    await asyncio.sleep(0.05)
            assert vaulted.setting.value() == "three" or "three" in vaulted.setting.value()
        finally:
            await engine.dispose()


async def _answers(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        await connection.invalidate()
    try:
        await who(engine)
    except Exception:
        return False
    return True


async def test_a_password_that_nobody_knows_is_refused_without_being_shown(postgres_url: str, tmp_path: Path) -> None:
    known = make_url(postgres_url)
    async with role(postgres_url) as (name, _):
        vaulted = Vaulted(
            tmp_path,
            f"postgresql+asyncpg://{name}:${{secret://db#password}}@{known.host}:{known.port}/{known.database}",
        )
        vaulted.put("canary-password")
        engine = create_engine(vaulted.setting.value(), follow=vaulted.setting)
        with pytest.raises(Exception, match="authentication failed") as caught:
            await who(engine)
        assert "canary" not in str(caught.value) + repr(engine) + repr(vaulted.setting)
        await engine.dispose()


async def test_redis_passwords_change_under_a_pool(redis_url: str, tmp_path: Path) -> None:
    known = make_url(redis_url)
    admin: Any = Redis.from_url(redis_url)
    name = f"app-{secrets.token_hex(4)}"
    await admin.execute_command("ACL", "SETUSER", name, "on", ">one", "~*", "+@all")
    vaulted = Vaulted(tmp_path, f"redis://{name}:${{secret://db#password}}@{known.host}:{known.port}/0")
    vaulted.put("one")
    redis: Any = connect_redis(vaulted.setting.value(), follow=vaulted.setting)
    try:
        first = await redis.client_id()
        assert await redis.client_id() == first
        vaulted.put("two")
        vaulted.notice()
        second = await redis.client_id()
        assert second != first and await redis.client_id() == second
        await admin.execute_command("ACL", "SETUSER", name, "resetpass", ">three")
        vaulted.put("three")
        await redis.connection_pool.disconnect()
        assert await redis.ping()
        assert (await redis.execute_command("ACL", "WHOAMI")) == name.encode()
    finally:
        await redis.aclose()
        await admin.execute_command("ACL", "DELUSER", name)
        await admin.aclose()


async def test_api_keys_change_under_a_client(tmp_path: Path) -> None:
    good = {"Bearer one"}

    async def check(request: web.Request) -> web.StreamResponse:
        return web.Response(status=200 if request.headers["Authorization"] in good else 401)

    vaulted = Vaulted(tmp_path, "secret://db#password")
    vaulted.put("one")
    credentials = RotatingHeaders(vaulted.setting, lambda key: {"Authorization": f"Bearer {key}"})
    async with client_of(check, credentials) as client:
        assert (await client.send(GET)).status == 200
        vaulted.put("two")
        vaulted.notice()
        assert (await client.send(GET)).status == 200  # the new one is refused, the old one is not
        good.clear()
        good.add("Bearer two")
        assert (await client.send(GET)).status == 200
        good.clear()
        assert (await client.send(GET)).status == 401


async def test_a_server_notices_and_records_who_read_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / "keys").write_text(json.dumps({"signing": "o" * 40}))
    monkeypatch.setenv("TRIPTYCH_SECRETS_DIR", str(vault))
    monkeypatch.setenv("TRIPTYCH_SECRETS_TTL_SECONDS", "0.05")
    monkeypatch.setenv("TRIPTYCH_SIGNING_KEY", "secret://keys#signing")
    settings = load_settings(CommonSettings, data_dir=tmp_path / "data")
    runtime = build_runtime("small", settings, [])
    old = runtime.key.current().id
    async with runtime.opened():
        (vault / "keys").write_text(json.dumps({"signing": "n" * 40}))
        async with asyncio.timeout(10):
            while runtime.key.current().id == old:
                await asyncio.sleep(0.01)
    assert open_cache(settings).drain() == []
    with closing(sqlite3.connect(tmp_path / "data" / "audit.db")) as connection:
        rows = connection.execute(
            "SELECT subject, outcome, body FROM audit_records WHERE action = 'secret_read' ORDER BY seq"
        ).fetchall()
    found = [(subject, outcome, json.loads(detail)) for subject, outcome, detail in rows]
    assert len({detail["version"] for _, _, detail in found}) >= 2
    assert {(subject, outcome, detail["path"]) for subject, outcome, detail in found} == {
        ("server:small", "ok", "keys")
    }
    assert "ooo" not in str(rows) and "nnn" not in str(rows)
