"""`triptych serve`: runs one vertical."""

from pathlib import Path

from common.garbage import settle
from common.observability.logging import configure_logging
from common.serve import serve_http
from common.settings import CommonSettings, load_settings
from common.vertical import Vertical


def serve_vertical(
    vertical: Vertical, transport: str, host: str, port: int | None, profile: str | None, data_dir: Path | None
) -> None:
    """Serve until a signal. Raises SettingsError before anything is opened."""
    given = {"profile": profile, "data_dir": data_dir}
    settings = load_settings(CommonSettings, **{name: value for name, value in given.items() if value is not None})
    configure_logging(settings)
    port = vertical.port if port is None else port
    served = vertical.build(settings, f"http://{host}:{port}", stdio=transport == "stdio")
    if transport == "stdio":
        settle()
        served.server.run(transport="stdio", show_banner=False)
    else:
        serve_http(served.app, served.runtime, host, port)
