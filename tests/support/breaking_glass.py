"""A frozen production that is served through its real ASGI application, and people who want to change it.

It is a workload of the simulated cluster, or a service of an AWS account.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.security.principal import Principal
from devops.kinds import DEPLOYMENT
from tests.common.console.console_site import Site
from tests.support.cloud import Account
from tests.support.operations import Served, ask, served

FREEZE = [{"environment": "production", "start": "2020-01-01T00:00:00Z", "end": "2099-01-01T00:00:00Z"}]
WHY, YES = "customers cannot pay, and the fix is known", "I have read the diff and agree"


def person(name: str, *roles: str, tenant: str = "local") -> Principal:
    return Principal(name, tenant, frozenset(roles), frozenset({"engineering"}), "internal")


OLGA, AMIR = person("olga", "operator", "break-glass"), person("amir", "approver", "break-glass")


@dataclass
class Scene:
    """The server, with sessions of people."""

    server: Served
    folder: Path
    account: Account | None = None

    @property
    def tool(self) -> str:
        """Which one plans."""
        return "update_service" if self.account else "scale_workload"

    async def replicas(self) -> int:
        """As somebody else than the server sees it."""
        return self.account.desired()[0] if self.account else await replicas(self.folder)

    async def signed_in(self, who: Principal) -> httpx2.AsyncClient:
        """A browser of somebody with a key of their own."""
        rights = (sorted(who.roles), sorted(who.groups), who.clearance)
        keys = self.server.runtime.credentials.api_keys
        return await Site(self.server.runtime, self.server.asgi).signed_in(
            keys.create(who.subject, who.tenant, *rights)[1]
        )

    def revoke(self, name: str) -> None:
        """All keys of a person."""
        keys = self.server.runtime.credentials.api_keys
        for key in keys.all():
            if key.owner == name:
                keys.revoke(key.id)

    async def plan(self, who: Principal = OLGA, replicas: int = 0) -> dict[str, Any]:
        """A change of high risk, with the key by which it is asked for."""
        given: dict[str, Any] = {"namespace": "production", "name": "web-portal", "replicas": replicas}
        if self.account:
            given = {"ecs_cluster": "shop", "service": "web", "desired_count": replicas}
        async with self.server.client(who) as client:
            return await ask(client, self.tool, **given)

    async def read(self, browser: httpx2.AsyncClient, change: dict[str, Any]) -> dict[str, Any]:
        answer = await browser.get(address(change), headers={"accept": "application/json"})
        found: dict[str, Any] = answer.json()
        return found

    async def post(
        self, browser: httpx2.AsyncClient, change: dict[str, Any], verb: str, **body: str
    ) -> tuple[int, dict[str, Any]]:
        """What the JSON route answers."""
        tokens = (await self.read(browser, change)).get("form_tokens", {})
        headers = {"x-form-token": tokens.get(verb, "none")}
        answer = await browser.post(f"{address(change)}/{verb}", json=body, headers=headers)
        found = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status_code, json.loads(answer.text) if found else {}

    async def asked(self, browser: httpx2.AsyncClient, change: dict[str, Any]) -> str:
        """The id of what its requester asked for."""
        status, answer = await self.post(browser, change, "break-glass", digest=change["digest"], reason=WHY)
        assert status == 200, answer
        return str(answer["break_glass"]["break_glass"])

    async def agree(
        self, browser: httpx2.AsyncClient, change: dict[str, Any], glass: str, **other: str
    ) -> tuple[int, dict[str, Any]]:
        body = {"break_glass": glass, "digest": change["digest"], "reason": YES, **other}
        return await self.post(browser, change, "break-glass-agree", **body)


def address(change: dict[str, Any]) -> str:
    return f"/console/changes/{change['change_id']}"


@asynccontextmanager
async def scene(
    folder: Path, monkeypatch: pytest.MonkeyPatch, account: Account | None = None, /, **settings: str
) -> AsyncIterator[Scene]:
    """Break-glass is on and production frozen, unless `settings` (DEVOPS_*) say otherwise."""
    if account is not None:
        for name, value in account.environment().items():
            monkeypatch.setenv(name, value)
        if not account.has_service():
            account.service()
    given = {"MODE": "read-write", "BREAK_GLASS": "on", "FREEZES": json.dumps(FREEZE), **settings}
    for name, value in given.items():
        monkeypatch.setenv(f"DEVOPS_{name}", value)
    async with served(folder) as server:
        yield Scene(server, folder, account)


async def replicas(folder: Path) -> int:
    """Of the web portal, as another process reads it."""
    from devops.adapters.simulated.cluster import SimulatedCluster

    cluster = SimulatedCluster(folder / "devops" / "simulated.db")
    await cluster.open()
    try:
        live = await cluster.get(DEPLOYMENT, "production", "web-portal")
    finally:
        await cluster.close()
    return int(live["spec"]["replicas"])
