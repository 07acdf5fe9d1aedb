"""The call that is being served, for logs, metrics and audit."""

import re
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass, field

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
request_id: ContextVar[str] = ContextVar("request_id", default="")


@dataclass
class Call:
    """One request, with what became of it."""

    request_id: str
    kind: str
    action: str
    started: float = field(default_factory=time.perf_counter)
    outcome: str = "ok"
    tenant: str = ""
    subject: str = ""
    known: bool = False
    """Whether policy let it through; an unknown name must not become a metric label."""

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    @property
    def label(self) -> str:
        return self.action if self.known else "other"


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)


def new_request_id(given: str | None = None) -> str:
    """The id that the client sent, if it looks like one, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
