"""Failures of SQL databases as errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from common.errors import DeadlineExceeded, Unavailable

TOO_SLOW = "57014"
"""SQLSTATE of a statement that ran into its timeout."""


def state_of(error: BaseException) -> str | None:
    """The SQLSTATE, if a server gave one."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


@contextmanager
def sql_call(what: str) -> Iterator[None]:
    """Raises DeadlineExceeded for a statement that took too long, Unavailable for a server that is away."""
    try:
        yield
    except (DBAPIError, PoolTimeout, OSError) as error:
        if state_of(error) == TOO_SLOW:
            raise DeadlineExceeded(f"{what} did not answer in time.", "Try again later.") from error
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if lost or not isinstance(error, DBAPIError) or isinstance(error, OperationalError | InterfaceError):
            raise Unavailable(f"{what} cannot be reached.", "Try again later.", retry_after=1.0) from error
        raise
