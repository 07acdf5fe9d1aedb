"""A page of the console, and the visit of a person to it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from common.console.sessions import Session
from common.console.templating import Templates
from common.runtime import Runtime
from common.security.principal import Principal

HOME = "/console"
SIGN_IN = "/console/sign-in"
SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Files:
    """What a form may carry besides its fields."""

    count: int
    max_body_bytes: int
    """Of the whole request, in place of TRIPTYCH_MAX_REQUEST_BYTES."""


@dataclass(frozen=True)
class Page:
    """An address below /console for the people whose policy allows `action`; it may hold parts such as `{id}`."""

    path: str
    title: str
    action: str
    endpoint: "Callable[[Visit], Awaitable[Response]]"
    order: int = 50
    """Place in the navigation."""
    in_nav: bool = True
    methods: frozenset[str] = frozenset({"GET"})
    """With POST here, the form token has been checked before `endpoint` runs."""
    recorded: bool = False
    """Whether each visit counts against the person's limit of calls and is audited, with its address."""

    live: bool = False
    """Whether its endpoint gives a `LiveAnswer`, which may be opened as a WebSocket, too."""

    files: Files | None = None
    """Whether its form may carry files; they are in temporary files, which are gone when `endpoint` returns."""

    @property
    def address(self) -> str:
        return f"{HOME}{self.path}"


@dataclass(frozen=True)
class Visit:
    """One request of a signed-in person to a page that they may use."""

    request: Request
    session: Session
    page: Page
    runtime: Runtime
    templates: Templates
    layout: dict[str, Any]
    """What every template needs: server, navigation, form tokens."""
    still_allowed: "Callable[[], Awaitable[None]]"
    """For answers that go on for long: raises Denied once the session has ended or the right was taken away."""

    @property
    def principal(self) -> Principal:
        return self.session.principal

    def render(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page made of a template."""
        return self.templates.answer(template, status, **self.layout, **values)

    def sign_in_again(self) -> Response:
        """For a page that demands a fresh sign-in (`session.is_fresh`); afterwards the person is back here."""
        return to_sign_in(self.request)


def here(request: Request) -> str:
    """The address of this request, without the host."""
    query = request.scope["query_string"].decode("latin-1")
    return quote(request.scope["path"]) + (f"?{query}" if query else "")


def wants_json(request: Request) -> bool:
    """Whether a script asks, which shows failures itself."""
    return request.headers.get("accept") == "application/json"


def to_sign_in(request: Request) -> Response:
    """To the form, and back to this page afterwards. What was posted is lost, so nothing is done twice."""
    back = quote(here(request)) if request.method in SAFE else HOME
    return RedirectResponse(f"{SIGN_IN}?next={back}", 303)


def local(address: str) -> str:
    """The address if it is a page of this console, else the first page: nobody is sent elsewhere after signing in."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return HOME
    is_page = parts.path == HOME or (parts.path.startswith(f"{HOME}/") and parts.path != SIGN_IN)
    is_plain = address.isprintable() and ".." not in address
    is_local = not parts.scheme and not parts.netloc and len(address) <= 1000
    return address if is_page and is_plain and is_local else HOME
