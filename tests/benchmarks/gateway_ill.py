"""Domains that are ill, and a caller that keeps asking one of them.

`python -m tests.benchmarks.gateway_ill serve` prints their addresses; `... call PORT KEY TOOL` asks until it is ended.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from tests.benchmarks.requests import raw_request
from tests.support.broken_domain import Illness, broken_domain

SERVED: tuple[Illness, ...] = ("hung", "dripping", "garbage")
PAUSE_SECONDS = 0.1
CALLERS = 2


async def serve() -> None:
    """Until SIGTERM."""
    async with AsyncExitStack() as stack:
        urls = {illness: (await stack.enter_async_context(broken_domain(illness)))[0] for illness in SERVED}
        print(json.dumps(urls), flush=True)
        await asyncio.Event().wait()


async def _caller(port: int, request: bytes) -> None:
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await reader.read()
        except ConnectionError:
            pass  # this is what is to be looked at in the others
        finally:
            writer.close()
        await asyncio.sleep(PAUSE_SECONDS)


async def call(port: int, key: str, tool: str) -> None:
    """Until SIGTERM."""
    request = raw_request("modern", tool, {"text": "hello"}, port, key)
    print("on", flush=True)
    await asyncio.gather(*(_caller(port, request) for _ in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "serve" else call(int(sys.argv[2]), sys.argv[3], sys.argv[4]))
