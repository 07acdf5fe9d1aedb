"""Templates and static files, and the headers that every answer of the console carries."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

HERE = Path(__file__).parent
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With `no-referrer` a browser sends `Origin: null` with our own forms, which the Origin check refuses.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


class StaticFiles:
    """The files of the static folders, read once; their address holds their hash, so they may be kept for ever."""

    def __init__(self, folders: Sequence[Path]) -> None:
        files = [file for folder in folders for file in folder.iterdir() if file.suffix in MEDIA_TYPES]
        self._files = {file.name: file.read_bytes() for file in files}
        self._hashes = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in self._files.items()}

    def address(self, name: str) -> str:
        """Where a browser finds this file."""
        return f"/console/static/{self._hashes[name]}/{name}"

    async def answer(self, request: Request) -> Response | None:
        """The file of the address, or None. During an update a replica may be asked for another one's version."""
        name = request.path_params["name"]
        if name not in self._files:
            return None
        is_this = request.path_params["hash"] == self._hashes[name]
        caching = "public, max-age=31536000, immutable" if is_this else "no-store"
        return Response(
            self._files[name], media_type=MEDIA_TYPES[Path(name).suffix], headers={"Cache-Control": caching}
        )


class Templates:
    """The console's templates and those of the vertical; everything is escaped, and a missing value is an error."""

    def __init__(self, folders: Sequence[Path], static: StaticFiles) -> None:
        self._environment = Environment(
            loader=FileSystemLoader([HERE / "templates", *folders]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"static": static.address, "version": version("triptych")}
        self._environment.filters |= {
            "count": count,
            "ms": milliseconds,
            "percent": percent,
            "when": when,
            "moment": moment,
        }

    def answer(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page."""
        return HTMLResponse(self._environment.get_template(template).render(values), status)


def count(value: float) -> str:
    """12,345"""
    return f"{value:,.0f}"


def milliseconds(value: float | None) -> str:
    """Three digits are enough: 0.42, 3.8, 120, 4,200."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def percent(value: float) -> str:
    """0 %, 0.4 %, 12 %; never `0 %` for a little."""
    if 0 < value < 0.001:
        return "< 0.1 %"
    return f"{value * 100:.1f} %" if 0 < value < 0.1 else f"{value * 100:.0f} %"


def when(value: str) -> str:
    """A time in UTC to the millisecond; a damaged one as it is."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return str(value)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def moment(seconds: float) -> str:
    """The same of seconds since 1970."""
    return when(datetime.fromtimestamp(seconds, UTC).isoformat())
