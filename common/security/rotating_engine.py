"""Connections to Postgres whose password changes: each new one uses the newest, and pooled old ones are replaced."""

import asyncio
from typing import Any

import structlog
from sqlalchemy import event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from common.security.secrets import Rotating

REFUSED = {"28P01", "28000"}
"""SQLSTATE: wrong password, or a role that may not sign in (any more)."""
MADE_AT = "triptych_credentials"
log = structlog.get_logger(__name__)


def follow_credentials(engine: AsyncEngine, url: Rotating) -> None:
    """Sign in with the secret as it is; in the time after a change, with the value before if the new one is refused."""

    def connect(dialect: Any, record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
        record.info[MADE_AT] = url.changed_at
        refusal = _try_all(dialect, url, arguments, parameters)
        if isinstance(refusal, Exception) and await_only(asyncio.to_thread(url.look)):
            record.info[MADE_AT] = url.changed_at
            refusal = _try_all(dialect, url, arguments, parameters)
        if isinstance(refusal, Exception):
            raise refusal
        return refusal

    def check(_: Any, record: Any, __: Any) -> None:
        if record.info.get(MADE_AT) != url.changed_at:
            # The pool then closes this connection and opens another.
            raise DisconnectionError("the password has changed")

    event.listen(engine.sync_engine, "do_connect", connect)
    event.listen(engine.sync_engine, "checkout", check)


def _try_all(dialect: Any, url: Rotating, arguments: Any, parameters: dict[str, Any]) -> Any:
    """A connection, or the refusal of the newest value."""
    refusals: list[Exception] = []
    for text in url.candidates():
        known = make_url(text)
        own = {"user": known.username, "password": known.password}
        try:
            return dialect.connect(*arguments, **{**parameters, **own})
        except Exception as error:
            if getattr(getattr(error, "orig", error), "sqlstate", None) not in REFUSED:
                raise
            log.info("database.credentials_refused", host=known.host)
            refusals.append(error)
    return refusals[0]
