"""Forms of the console that plan a change: what a tool plans, with the same right, limit and record as the tool."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from starlette.responses import RedirectResponse, Response

from common.console.forms import FIELD, read_form, text
from common.console.page import Page, Visit
from common.console.recording import recorded
from common.errors import InvalidInput
from common.security.principal import Principal
from devops.change_forms import QUEUE
from devops.changes.change import Change

T = TypeVar("T")
Given: TypeAlias = Mapping[str, str]
"""What the address and the filled-in fields say."""
Plan: TypeAlias = Callable[[Principal, Given], Awaitable[Change]]
MAX_FIELD = 1000


def plan_form(path: str, tool: str, plan: Plan) -> Page:
    """The address below /console to which the form is sent; afterwards the person is at the page of the change."""

    async def answer(visit: Visit) -> Response:
        form = await read_form(visit.request)
        asked = {**visit.request.query_params, **{name: text(form, name) for name in form if name != FIELD}}
        given = {name: value[:MAX_FIELD] for name, value in asked.items() if value} | visit.request.path_params
        async with recorded(visit.runtime, visit.principal, tool, {"arguments": given}, durable=True):
            change = await plan(visit.principal, given)
        return RedirectResponse(f"{QUEUE}/{quote(change.id)}", 303)

    return Page(path, "Plan", tool, answer, in_nav=False, methods=frozenset({"POST"}))


def valid(kind: TypeAdapter[T], given: Given, name: str) -> T:
    """The field as the tool would take it. Raises InvalidInput."""
    try:
        return kind.validate_python(given.get(name))
    except ValidationError as error:
        raise refused(name, error) from None


def refused(name: str, error: ValidationError) -> InvalidInput:
    """What is wrong with a field, without its value."""
    reason: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"]
    return InvalidInput(f"{name}: {str(reason).removeprefix('Value error, ')}.", "Go back, and fill in the form again.")
