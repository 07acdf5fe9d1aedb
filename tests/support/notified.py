"""A receiver of webhooks on a real port, which checks them as the documentation says."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from common.errors import Denied
from common.security.webhook_signature import secret_bytes, verified
from tests.support.live import live

SECRET = f"whsec_{base64.b64encode(b'a secret of thirty-two bytes ok!').decode()}"


@dataclass
class Receiver:
    """What came; `answers` are given first, then 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id: what comes twice is there once."""

    async def receive(self, request: Request) -> Response:
        body, headers = await request.body(), dict(request.headers)
        if request.method == "HEAD":
            return Response(status_code=405)
        self.requests.append((headers, body))
        try:
            message_id = verified(secret_bytes(SECRET), headers, body, time.time())
        except Denied:
            return Response(status_code=403)
        status = self.answers.pop(0) if self.answers else 204
        if status == 302:
            return RedirectResponse("/elsewhere", 302)
        if status < 300:
            self.taken.setdefault(message_id, json.loads(body))
        return Response(status_code=status)

    @property
    def kinds(self) -> list[str]:
        return [notice["kind"] for notice in self.taken.values()]


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    routes = [Route("/{path:path}", found.receive, methods=["POST", "GET", "HEAD"])]
    async with live(Starlette(routes=routes)) as url:
        found.url = f"{url}/devops/notices?channel=a"
        yield found
