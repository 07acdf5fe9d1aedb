"""Composite requests: up to 25 subrequests, of which later ones may refer to earlier results as @{reference.field}."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from infra.crm.calls import Answer, Call, Refused, json_object
from infra.crm.salesforce.errors import bad_json, error

MAX_REQUESTS, MAX_QUERIES = 25, 5
_REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])*)\}")
_ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."


class _RollBack(Exception):
    """A part failed and all or none was asked for."""


def composite(
    call: Call, transaction: Callable[[], AbstractContextManager[None]], dispatch: Callable[[Call], Answer]
) -> Answer:
    """POST /composite. It answers 200 even if parts fail; with allOrNone the others are taken back."""
    body = json_object(call)
    parts = body.get("compositeRequest") if body else None
    if not isinstance(parts, list) or not all(isinstance(part, dict) and _is_whole(part) for part in parts):
        raise bad_json()
    if len(parts) > MAX_REQUESTS:
        raise error(400, "LIMIT_EXCEEDED", f"Composite request limit of {MAX_REQUESTS} subrequests exceeded")
    queries = [part for part in parts if re.search(r"/(query|search|parameterizedSearch)\b", str(part.get("url")))]
    if len(queries) > MAX_QUERIES:
        raise error(400, "LIMIT_EXCEEDED", f"At most {MAX_QUERIES} subrequests may be queries")
    all_or_none = bool(body and body.get("allOrNone"))
    answers: list[dict[str, Any]] = []
    try:
        with transaction() if all_or_none else nullcontext():
            for part in parts:
                answers.append(_run(call, part, answers, dispatch))
                if all_or_none and answers[-1]["httpStatusCode"] >= 400:
                    raise _RollBack
    except _RollBack:
        answers = _rolled_back(parts, answers)
    return Answer({"compositeResponse": answers})


def _is_whole(part: dict[str, Any]) -> bool:
    return all(isinstance(part.get(name), str) for name in ("method", "url", "referenceId"))


def _run(
    call: Call, part: dict[str, Any], done: list[dict[str, Any]], dispatch: Callable[[Call], Answer]
) -> dict[str, Any]:
    reference = str(part.get("referenceId"))
    try:
        text = _filled(json.dumps({"url": part.get("url"), "body": part.get("body")}), done)
        filled = json.loads(text)
        address = urlsplit(filled["url"])
        inner = Call(
            method=str(part.get("method")).upper(),
            path=unquote(address.path),
            query=dict(parse_qsl(address.query, keep_blank_values=True)),
            headers=call.headers,
            body=json.dumps(filled["body"] or {}).encode(),
            base_url=call.base_url,
        )
        answer = dispatch(inner)
    except Refused as refused:
        answer = refused.answer
    headers = {"Location": f"{call.path.rsplit('/', 1)[0]}/{answer.body['id']}"} if answer.status == 201 else {}
    return {"body": answer.body, "httpHeaders": headers, "httpStatusCode": answer.status, "referenceId": reference}


def _filled(text: str, done: list[dict[str, Any]]) -> str:
    known = {entry["referenceId"]: entry["body"] for entry in done}

    def replaced(match: re.Match[str]) -> str:
        value = known.get(match[1])
        for step in re.findall(r"\w+", match[2]):
            value = _item(value, step)
        if not isinstance(value, str | int):
            raise error(400, "PROCESSING_HALTED", f"Invalid reference specified. No value for {match[0][2:-1]} found")
        return json.dumps(str(value))[1:-1]

    return _REFERENCE.sub(replaced, text)


def _item(value: Any, step: str) -> Any:
    if isinstance(value, list):
        return value[int(step)] if step.isdigit() and int(step) < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


def _rolled_back(parts: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The part that failed keeps its error, all others say that they were taken back."""
    failed = len(answers) - 1
    halted = [{"errorCode": "PROCESSING_HALTED", "message": _ROLLED_BACK}]
    return [
        answers[at]
        if at == failed
        else {"body": halted, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": str(part.get("referenceId"))}
        for at, part in enumerate(parts)
    ]
