"""Whether a form was really sent from this console, by the person whose session it uses."""

import hashlib
import hmac

from starlette.datastructures import FormData
from starlette.requests import Request

from common.security.signing import Keys, Purpose

FIELD = "form_token"
HEADER = "x-form-token"
MAX_FIELDS = 100
MAX_FIELD_BYTES = 1024 * 1024


class FormTokens:
    """A token fits one session and one address, so the one of a harmless form opens nothing else."""

    def __init__(self, keys: Keys) -> None:
        self._keys = Purpose(keys, "console-csrf")

    def issue(self, sid: str, path: str) -> str:
        """What the form at this address must carry."""
        return _token(self._keys.newest.secret, sid, path)

    async def fits(self, request: Request, sid: str, max_files: int = 0) -> bool:
        """Whether the form field, or for scripts the header `X-Form-Token`, is the right one."""
        given = request.headers.get(HEADER) or text(await read_form(request, max_files), FIELD)
        path = request.scope["path"]
        expected = (_token(key.secret, sid, path) for key in self._keys.accepted)
        return any(hmac.compare_digest(given.encode(), token.encode()) for token in expected)


def _token(key: bytes, sid: str, path: str) -> str:
    return hmac.new(key, f"{sid}\n{path}".encode(), hashlib.sha256).hexdigest()


def comes_from_here(request: Request) -> bool:
    """False if a browser says that another site sent this. Programs say nothing, and have no cookies to abuse."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        # `same-site` is not enough: another port of this host, or another host of this domain, is somebody else.
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


def opened_from_here(request: Request) -> bool:
    """Whether this very console opened a WebSocket; what does not say where it comes from is not from here.

    Any page of any site may try, and the browser sends our cookie with it if only the port is another one.
    """
    origin = request.headers.get("origin", "").partition("://")[2]
    return comes_from_here(request) and bool(origin) and origin == request.headers.get("host")


async def read_form(request: Request, max_files: int = 0) -> FormData:
    """The fields of a form, and its files as temporary files; a second call gives the same again."""
    return await request.form(max_files=max_files, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)


def text(form: FormData, name: str) -> str:
    """A text field, without the blanks around it."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""
