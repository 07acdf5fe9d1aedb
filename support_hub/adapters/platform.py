"""What the platforms' adapters share: statuses become errors, and bodies that are not as documented do, too."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from common.errors import AppError, Conflict, Denied, InvalidInput, NotFound, Unavailable
from common.http.client import Answer, Request, ResilientClient

EXCERPT = 280
"""Characters of a ticket's text that lists carry."""


class Api:
    """One platform's API. Raises the errors of `common.errors`; the platform's own words stay in the platform."""

    def __init__(self, client: ResilientClient, title: str) -> None:
        self._client = client
        self._title = title

    async def get(self, target: str, **params: str) -> Any:
        """The JSON of a GET."""
        return await self.send(Request("GET", target, {name.replace("__", "."): v for name, v in params.items()}))

    async def send(self, request: Request) -> Any:
        """The JSON of the answer."""
        answer = await self._client.send(request)
        if answer.status >= 400:
            raise self.refusal(answer)
        return answer.json() if answer.body else None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Reads a body. What it lacks is the platform's fault: Unavailable."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise self.not_as_documented() from None

    @contextmanager
    def reading_back(self) -> Iterator[None]:
        """Reads what was written. It was done, so that a failure is no refusal: Unavailable."""
        try:
            yield
        except AppError as error:
            text = f"{self._title} has taken the change, but does not show it."
            raise Unavailable(text, "Repeat the call with the same key.", error.retry_after) from None

    def not_as_documented(self) -> AppError:
        """For an answer that cannot be believed."""
        return Unavailable(f"{self._title} sent an answer that is not as documented.", "Try again later.")

    def check_page(self, found: int, size: int, start: int, total: int) -> None:
        """Raises Unavailable for a page that lacks some of what its own total promises."""
        if found < min(size, max(0, total - start)):
            raise self.not_as_documented()

    def refusal(self, answer: Answer) -> AppError:
        """What a status from 400 on means."""
        if answer.status in (401, 403):
            return Denied(f"{self._title} does not let the hub do this.", "The operator checks its credentials.")
        if answer.status in (404, 410):
            return NotFound(f"{self._title} has no such record.")
        if answer.status in (409, 412):
            return Conflict(f"Somebody changed this in {self._title} first.", "Read it again, then repeat the change.")
        return InvalidInput(f"{self._title} does not accept this (status {answer.status}).", "Change the arguments.")


def moment(text: str) -> datetime:
    """A time in ISO 8601. Raises ValueError."""
    read = datetime.fromisoformat(text)
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def without_empty(fields: Mapping[str, str | None]) -> dict[str, str]:
    """The fields that say something."""
    return {name: value.strip() for name, value in fields.items() if value and value.strip()}


def excerpt(text: str | None) -> str:
    """The beginning of a text, on one line."""
    return " ".join((text or "")[: EXCERPT * 2].split())[:EXCERPT]


def emails(*addresses: str | None) -> frozenset[str]:
    """In lower case."""
    return frozenset(address.strip().lower() for address in addresses if address and "@" in address)
