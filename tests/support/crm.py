"""A simulated platform on a thread of its own, so that blocking clients can be used against it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from infra.crm.launch import Suite, listening, make_suite
from infra.crm.platform import Platform


@dataclass(frozen=True)
class RunningSuite:
    """The three platforms while they run."""

    urls: dict[str, str]
    suite: Suite
    limits: dict[str, Any]
    """As they were at the start, which is what the platforms document."""
    written: set[str]
    """Platforms that have records which the seed has not."""

    def control(self, name: str, path: str, body: Any = None) -> Any:
        """PUT a body to a control endpoint, or without one GET it."""
        url = f"{self.urls[name]}/__control/{path}"
        response = requests.put(url, json=body, timeout=10) if body is not None else requests.get(url, timeout=10)
        response.raise_for_status()
        return response.json()

    def restore(self) -> None:
        """Back to the seed, without faults, subscribers, counts and used-up limits."""
        for name, url in self.urls.items():
            requests.delete(f"{url}/__control/faults", timeout=10)
            requests.delete(f"{url}/__control/requests", timeout=10)
            self.control(name, "subscriber", {"url": None})
            self.control(name, "limits", self.limits[name])
            if name in self.written:
                requests.post(f"{url}/__control/reset", timeout=10).raise_for_status()
        self.written.clear()


class PlainHttp(HTTPAdapter):
    """For clients that write https:// themselves: the simulators speak HTTP on loopback."""

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.url = request.url.replace("https://127.0.0.1", "http://127.0.0.1", 1)
        return super().send(request, *args, **kwargs)


def _limits(platform: Platform) -> dict[str, Any]:
    return {name: {"requests": each.limit, "seconds": each.seconds} for name, each in platform.limits.items()}


def _written(suite: Suite) -> set[str]:
    """The names of the platforms that are written to from now on."""
    names: set[str] = set()
    for platform in suite.platforms:
        platform.listeners.append(lambda change, name=platform.name: names.add(name))  # type: ignore[misc]
    return names


@contextmanager
def running_suite() -> Iterator[RunningSuite]:
    """All three on free ports."""
    suite, loop, started, stop = make_suite(), asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    urls: dict[str, str] = {}

    async def serve() -> None:
        async with listening(suite) as simulators:
            urls.update({name: simulator.url for name, simulator in simulators.items()})
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    if not started.wait(60):
        raise RuntimeError("the simulators did not start")
    try:
        yield RunningSuite(urls, suite, {each.name: _limits(each) for each in suite.platforms}, _written(suite))
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
