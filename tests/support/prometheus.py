"""A local server of the shape of Prometheus' HTTP API, for what a real one does not do: fail, hang, answer nonsense.

It checks nothing but the parameters' form; it evaluates no query.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class FakePrometheus:
    """Where it listens, what it was asked, and what it answers."""

    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    result: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[Any] = field(default_factory=list)
    status: int = 200
    body: str | None = None


@asynccontextmanager
async def fake_prometheus() -> AsyncIterator[FakePrometheus]:
    """Started on a free loopback port."""
    fake = FakePrometheus()

    async def query_range(request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        assert float(form["start"]) < float(form["end"]) and int(form["step"]) >= 15
        fake.asked.append(form)
        fake.tokens.append(request.headers.get("Authorization"))
        document = {"status": "success", "data": {"resultType": "matrix", "result": fake.result}}
        return web.Response(status=fake.status, text=fake.body or json.dumps(document), content_type="application/json")

    async def alerts(request: web.Request) -> web.Response:
        fake.tokens.append(request.headers.get("Authorization"))
        document = {"status": "success", "data": {"alerts": fake.alerts}}
        return web.Response(status=fake.status, text=fake.body or json.dumps(document), content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/v1/alerts", alerts)
    app.router.add_post("/api/v1/query_range", query_range)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
