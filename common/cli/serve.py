"""`triptych serve`: runs one server, in one process or in several."""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from common.garbage import settle
from common.observability.logging import configure_logging
from common.serve import Worker, serve_http, tls_of
from common.settings import CommonSettings, load_settings
from common.vertical import Vertical


def serve_vertical(
    vertical: Vertical,
    transport: str,
    host: str,
    port: int | None,
    given: Mapping[str, object],
    workers: int = 1,
) -> None:
    """Serve until a signal; `given` are settings of the command line. Raises SettingsError before it opens anything."""
    settings = load_settings(CommonSettings, **{name: value for name, value in given.items() if value is not None})
    configure_logging(settings)
    port = vertical.port if port is None else port
    if transport == "http" and workers > 1:
        sys.exit(_serve_by_workers(vertical, settings, host, port, workers))
    served = vertical.build(settings, _url(settings, host, port), stdio=transport == "stdio")
    if transport == "stdio":
        settle()
        served.server.run(transport="stdio", show_banner=False)
    else:
        serve_http(served.app, served.runtime, host, port)


def _url(settings: CommonSettings, host: str, port: int) -> str:
    return f"{'https' if tls_of(settings) else 'http'}://{host}:{port}"


def _serve_by_workers(vertical: Vertical, settings: CommonSettings, host: str, port: int, count: int) -> int:
    from common.workers import Workers, listen

    listening = listen(host, port)
    build = partial(vertical.build, settings, _url(settings, host, listening.getsockname()[1]))
    # What is wrong is said here, once; and what is imported for it is shared by all workers.
    build()
    settle()
    folder = Path(tempfile.mkdtemp(prefix="triptych-"))

    def work(slot: int, lifeline: int) -> None:
        served = build()
        serve_http(served.app, served.runtime, host, port, Worker(slot, listening, lifeline, folder))

    try:
        return Workers(count, work).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
