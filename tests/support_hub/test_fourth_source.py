"""The worked example of docs/support-hub.md, against a real HTTP server."""

import importlib.util
from pathlib import Path
from typing import Any

from aiohttp import web

from common.cache.cache import Cache
from support_hub.customer import Customers
from support_hub.ports import Contact
from support_hub.sources import CachedSource

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "fourth_source.py"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("fourth_source", EXAMPLE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_fourth_source_is_one_file() -> None:
    asked: list[str] = []

    async def customer(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        if request.headers.get("Authorization") != "Bearer secret":
            return web.Response(status=401)
        if request.path != "/customers/ada@acme.example":
            return web.Response(status=404)
        known = {"id": 7, "name": "Ada Acme", "email": "Ada@acme.example", "changed": "2026-10-01T08:00:00Z"}
        return web.json_response(known)

    runner = web.ServerRunner(web.Server(customer), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with Cache().opened() as cache:
        good, wrong = [
            example().PartnerPortal(url, token, CachedSource(token, cache, fresh=60, stale=600, seconds=2))
            for token in ("secret", "wrong")
        ]
        try:
            found = await Customers([good], {}, 2).get(Contact(email="ada@acme.example"))
            assert [fact.chosen.value for fact in found.facts] == ["Ada Acme", "Ada@acme.example"]
            assert str(found.people[0].reference) == "partners:7" and found.complete
            await Customers([good], {}, 2).get(Contact(email="ada@acme.example"))
            assert len(asked) == 1
            nobody = await Customers([good], {}, 2).get(Contact(email="nobody@acme.example"))
            assert nobody.sources["partners"].state == "not_found"
            refused = await Customers([wrong], {}, 2).get(Contact(email="ada@acme.example"))
            assert refused.sources["partners"].state == "forbidden"
        finally:
            await good.close()
            await wrong.close()
            await runner.cleanup()
