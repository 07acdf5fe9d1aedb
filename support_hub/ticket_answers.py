"""The shapes of what is told about tickets and searches."""

from datetime import datetime

from pydantic import BaseModel, Field

from common.security.untrusted import untrusted
from support_hub.answers import PersonEntry, SourceState, TicketEntry, clean, person_entry, source_states, ticket_entry
from support_hub.mirrors import Shown
from support_hub.people import FoundPeople
from support_hub.records import Comment, Conversation
from support_hub.search import Found

MAX_TEXT = 20_000
MAX_COMMENT = 8_000


class TicketList(BaseModel):
    items: list[TicketEntry]
    next_cursor: str | None = None
    sources: dict[str, SourceState]
    complete: bool = Field(description="false: a platform did not answer; its tickets come with later pages, or not")


class CustomerEntry(PersonEntry):
    also: list[str] = Field([], description="records of the same address in other platforms")


class CustomerList(BaseModel):
    items: list[CustomerEntry]
    next_cursor: str | None = None
    sources: dict[str, SourceState]
    complete: bool


class CommentEntry(BaseModel):
    at: datetime
    author: str = Field(description="empty if the platform does not say")
    public: bool = Field(description="whether the customer sees it")
    text: str
    suspicious: bool = False


class TicketDetail(TicketEntry):
    description: str
    comments: list[CommentEntry] = Field(description="oldest first")
    complete: bool = Field(True, description="false: there are older comments, which are not shown; say so")


def ticket_list(found: Found, cursor: str | None) -> TicketList:
    """A page of a search."""
    states = source_states(found.sources)
    complete = all(state.state in ("ok", "stale") for state in states.values())
    items = [ticket_entry(shown) for shown in found.shown]
    return TicketList(items=items, next_cursor=cursor, sources=states, complete=complete)


def customer_list(found: FoundPeople, cursor: str | None) -> CustomerList:
    """A page of a search for people."""
    states = source_states(found.sources)
    complete = all(state.state in ("ok", "stale") for state in states.values())
    items = [
        CustomerEntry(**person_entry(first).model_dump(), also=[str(person.reference) for person in others])
        for first, *others in found.people
    ]
    return CustomerList(items=items, next_cursor=cursor, sources=states, complete=complete)


def comment_entry(comment: Comment) -> CommentEntry:
    """A message."""
    text = untrusted(comment.text, MAX_COMMENT)
    return CommentEntry(
        at=comment.at, author=clean(comment.author), public=comment.public, text=text.text, suspicious=text.suspicious
    )


def ticket_detail(conversation: Conversation) -> TicketDetail:
    """A ticket with its messages."""
    ticket = conversation.ticket
    entry = ticket_entry(Shown(ticket, (ticket.mirror_of,) if ticket.mirror_of else ()))
    text = untrusted(conversation.description, MAX_TEXT)
    comments = [comment_entry(comment) for comment in conversation.comments]
    suspicious = entry.suspicious or text.suspicious or any(comment.suspicious for comment in comments)
    given = entry.model_dump() | {"suspicious": suspicious}
    return TicketDetail(**given, description=text.text, comments=comments, complete=not conversation.truncated)


def fenced(detail: TicketDetail) -> str:
    """The conversation as text: what others wrote stands between marks that it cannot contain."""
    lines = [detail.description]
    lines += [f"\n{each.at:%Y-%m-%d %H:%M} {each.author or 'unknown'}: {each.text}" for each in detail.comments]
    body = untrusted(f"{detail.subject}\n" + "\n".join(lines), MAX_TEXT + MAX_COMMENT * len(detail.comments))
    cut = "" if detail.complete else ", only its newest comments"
    return f"{detail.id}, {detail.status}, priority {detail.priority}{cut}\n{body.fenced}"
