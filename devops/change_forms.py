"""The forms of a change, which are JSON routes, too: with `X-Form-Token`, and answered with the change."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import quote

from starlette.responses import JSONResponse, RedirectResponse, Response

from common.console.forms import read_form, text
from common.console.page import HOME, SIGN_IN, Visit
from common.console.shell import STATUS
from common.errors import AppError, InvalidInput
from devops.change_answers import change_shown
from devops.changes.approval import NotFresh
from devops.changes.change import Change
from devops.changes.service import Changes

QUEUE = f"{HOME}/changes"
FIELDS = ("digest", "reason", "answer", "break_glass")
Act: TypeAlias = Callable[[Visit, str, Mapping[str, str]], Awaitable[Change]]
Endpoint: TypeAlias = Callable[[Visit], Awaitable[Response]]


def form(changes: Changes, act: Act) -> Endpoint:
    """The address to which the form is sent."""

    async def answer(visit: Visit) -> Response:
        change_id = visit.request.path_params["id"]
        is_json = visit.request.headers.get("content-type", "").startswith("application/json")
        try:
            change = await act(visit, change_id, await _fields(visit, is_json))
        except NotFresh as error:
            return _refused(error) if is_json else RedirectResponse(sign_in_for(change_id), 303)
        except AppError as error:
            if not is_json:
                raise
            return _refused(error)
        url = f"{QUEUE}/{change.id}"
        if is_json:
            return JSONResponse(change_shown(change, url, changes.is_simulated(change)).model_dump(mode="json"))
        return RedirectResponse(url, 303)

    return answer


async def _fields(visit: Visit, is_json: bool) -> Mapping[str, str]:
    if not is_json:
        given = await read_form(visit.request)
        return {name: text(given, name) for name in FIELDS}
    try:
        body = json.loads(await visit.request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise InvalidInput("The body is no JSON object.", 'Send {"digest": "..."} or {"reason": "..."}.')
    return {name: value for name, value in body.items() if isinstance(value, str)}


def _refused(error: AppError) -> Response:
    status = 401 if isinstance(error, NotFresh) else STATUS.get(error.code, 503)
    return JSONResponse({"error": str(error), "code": error.code}, status)


def sign_in_for(change_id: str) -> str:
    """Where somebody proves anew who they are, and back to the change."""
    return f"{SIGN_IN}?next={quote(f'{QUEUE}/{change_id}')}"
