"""The tools' arguments: what cannot be meant is refused before anything else happens."""

from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from common.paging import decode_cursor, encode_cursor
from common.security.principal import Principal
from support_hub.records import Priority, Status

Email = Annotated[str | None, Field(description="e-mail address", max_length=320)]
Phone = Annotated[str | None, Field(description="telephone number, best with country code", max_length=40)]
CustomerId = Annotated[
    str | None, Field(description="id of a record, such as zendesk:123, as other tools give it", max_length=110)
]
LONGEST_CURSOR = 16_000
"""Of a search with as many copies outstanding as it remembers."""
Cursor = Annotated[str | None, Field(description="next_cursor of the page before", max_length=LONGEST_CURSOR)]
Limit = Annotated[int, Field(description="entries a page", ge=1, le=50)]
Words = Annotated[str, Field(description="words that all have to be there", max_length=200)]
TicketId = Annotated[str, Field(description="id as search_tickets gives it, such as zendesk:123", max_length=110)]
Statuses = Annotated[list[Status], Field(description="only with one of these states", max_length=5)]
Priorities = Annotated[list[Priority], Field(description="only with one of these priorities", max_length=4)]
Since = Annotated[AwareDatetime | None, Field(description="a time with zone, as 2026-06-30T12:00:00Z")]


class Paging:
    """Cursors that fit one question of one caller."""

    def __init__(self, principal: Principal, *question: Any) -> None:
        self._question = [principal.tenant, principal.subject, *question]

    def seal(self, position: Any) -> str | None:
        """A cursor, or None at the end."""
        return None if position is None else encode_cursor(position, self._question)

    def open(self, cursor: str | None, kind: type[Any]) -> Any:
        """The position; None without cursor. Raises InvalidInput."""
        return None if cursor is None else decode_cursor(cursor, self._question, kind)
