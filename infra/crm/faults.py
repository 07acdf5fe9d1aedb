"""The fault switch: what a platform does wrong, how often and where. Not a part of the platforms that are simulated."""

import fnmatch
import json
import random
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.crm.calls import Answer, Call

Kind = Literal[
    "latency",
    "rate_limit",
    "error",
    "broken_json",
    "partial_page",
    "wrong_content_type",
    "expired_token",
    "reset",
    "hang",
    "late_search",
]


class Fault(BaseModel):
    """One rule. Without `count` it stays until it is taken away; `path` is a pattern such as `/crm/v3/*`."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    probability: float = Field(1.0, ge=0, le=1)
    count: int | None = Field(None, ge=1)
    path: str = "*"
    method: str = "*"
    seconds: float = Field(0.0, ge=0, le=3600, description="how long; hang without it: until you go")
    jitter: float = Field(0.0, ge=0, le=60, description="latency: up to so many seconds more")
    status: Literal[500, 502, 503, 504] = 503
    retry_after: float = Field(1.0, ge=0, le=3600)


class FaultSwitch:
    """Draws the faults of a request. The same seed and the same requests give the same faults."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self.faults: list[Fault] = []

    def set(self, faults: list[Fault]) -> None:
        """Replace all rules."""
        self.faults = [fault.model_copy() for fault in faults]

    def draw(self, call: Call) -> list[Fault]:
        """The rules that strike this request; counted ones are used up."""
        struck = []
        for fault in self.faults:
            fits = fnmatch.fnmatchcase(call.path, fault.path) and fault.method in ("*", call.method)
            if fits and fault.count != 0 and self._random.random() < fault.probability:
                struck.append(fault)
                if fault.count is not None:
                    fault.count -= 1
        return struck

    def delay(self, fault: Fault) -> float:
        """Seconds that a slow answer takes."""
        return fault.seconds + self._random.random() * fault.jitter


def spoil(answer: Answer, kind: Kind) -> Answer:
    """An answer that arrives and is wrong."""
    body = answer.encoded()
    if kind == "wrong_content_type":
        page = b"<html><body><h1>We are down for maintenance</h1></body></html>"
        return replace(answer, body=page, content_type="text/html", status=200)
    if kind == "broken_json":
        return replace(answer, body=body[: max(1, len(body) // 2)])
    if kind == "partial_page":
        return replace(answer, body=_halved(json.loads(body)) if body else None)
    return answer


def _halved(read: Any) -> Any:
    """The same page, whose longest list lacks its second half while totals and cursors still speak of all of it."""
    if not isinstance(read, dict):
        return read
    lists = {name: value for name, value in read.items() if isinstance(value, list) and value}
    if not lists:
        return read
    name = max(lists, key=lambda key: len(lists[key]))
    return {**read, name: lists[name][: len(lists[name]) // 2]}
