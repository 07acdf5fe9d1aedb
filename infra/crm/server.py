"""The HTTP server around a simulated platform: counters, faults, control endpoints."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from aiohttp import web

from infra.crm.calls import Answer, Call, Refused
from infra.crm.control import Control
from infra.crm.counters import Counters
from infra.crm.faults import Fault, FaultSwitch, spoil
from infra.crm.platform import Platform
from infra.crm.webhooks import WebhookSender

HOST = "127.0.0.1"
MAX_BODY, MAX_LINE = 2 * 1024 * 1024, 17_000
SPOILING = ("broken_json", "partial_page", "wrong_content_type")


class Simulator:
    """A platform that listens on a loopback port."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.counters, self.switch = Counters(), FaultSwitch()
        self.webhooks = WebhookSender(platform)
        self._control = Control(platform, self.counters, self.switch, self.webhooks)
        self.url = ""

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[str]:
        """Its base URL, for as long as the context lasts."""
        server = web.Server(self._serve, max_line_size=MAX_LINE, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        self.url = f"http://{HOST}:{runner.addresses[0][1]}"
        sender = asyncio.create_task(self.webhooks.run())
        try:
            yield self.url
        finally:
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender
            await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await _body(request)
        call = _call(request, body or b"", self.url)
        if request.path.startswith("/__control/"):
            return self._response(self._control.answer(call, request.remote))
        self.counters.begin(call.method, call.path)
        status = 0
        try:
            answer = Answer({"message": "too large"}, 413) if body is None else await self._answer(request, call)
            status = answer.status if answer else 0
        finally:
            self.counters.end(status)
        return self._response(answer) if answer else web.Response(status=500)

    async def _answer(self, request: web.BaseRequest, call: Call) -> Answer | None:
        """The answer, or None if the connection is to be cut."""
        faults = self.switch.draw(call)
        for fault in faults:
            self.counters.fault(fault.kind)
            if fault.kind == "late_search":
                call = replace(call, search_delay=fault.seconds)
            elif fault.kind == "latency":
                await asyncio.sleep(self.switch.delay(fault))
            elif fault.kind == "hang":
                await _hang(request, fault.seconds)
            if fault.kind in ("hang", "reset"):
                _cut(request)
                return None
        try:
            self._refuse(call, faults)
            answer = self.platform.answer(call)
        except Refused as refused:
            answer = refused.answer
        for fault in faults:
            answer = spoil(answer, fault.kind) if fault.kind in SPOILING else answer
        return answer

    def _refuse(self, call: Call, faults: list[Fault]) -> None:
        for fault in faults:
            if fault.kind == "rate_limit":
                raise self.platform.rate_limited(call, fault.retry_after)
            if fault.kind == "error":
                raise self.platform.failed(fault.status)
            if fault.kind == "expired_token":
                self.platform.tokens.expire()
                raise self.platform.unauthorized()

    def _response(self, answer: Answer) -> web.Response:
        headers = {**answer.headers, "Server": f"triptych-simulated-{self.platform.name}", "X-Simulated": "true"}
        if answer.status != 204:
            headers["Content-Type"] = f"{answer.content_type};charset=utf-8"
        return web.Response(body=answer.encoded(), status=answer.status, headers=headers)


def _call(request: web.BaseRequest, body: bytes, base_url: str) -> Call:
    """Parameters that stand several times become one with commas, which is what the platforms take them for."""
    query = {name: ",".join(request.query.getall(name)) for name in request.query}
    return Call(request.method, request.path, query, request.headers, body, base_url, target=request.path_qs)


async def _body(request: web.BaseRequest) -> bytes | None:
    """The whole body, or None if it is larger than allowed."""
    parts, size = [], 0
    async for part in request.content.iter_chunked(65_536):
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
    return b"".join(parts)


async def _hang(request: web.BaseRequest, seconds: float) -> None:
    """Say nothing until the caller goes away or the time is over."""
    ends = asyncio.get_running_loop().time() + (seconds or 3600)
    while request.transport and not request.transport.is_closing() and asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(0.05)


def _cut(request: web.BaseRequest) -> None:
    """Close the connection with a reset instead of a farewell."""
    if request.transport:
        connection = request.transport.get_extra_info("socket")
        if connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
