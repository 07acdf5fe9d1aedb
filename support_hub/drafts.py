"""Replies to begin with, out of what is known. A person reads and sends them: nothing is sent here."""

import re
from collections.abc import Sequence
from string import Template
from typing import Literal

from support_hub.records import Conversation, Order

Kind = Literal["acknowledge", "ask_for_details", "solved"]
TEXTS: dict[Kind, Template] = {
    "acknowledge": Template(
        "thank you for writing to us about “$subject”. We have your message, and are looking into it."
    ),
    "ask_for_details": Template(
        "thank you for writing to us about “$subject”. To look into it we need to know what you did, what happened, "
        "and what you expected instead; the serial number and the time help, too."
    ),
    "solved": Template("we believe that “$subject” is solved. If it is not, just answer this message, and we go on."),
}
ORDER_NUMBER = re.compile(r"\b[A-Z]{2}-\d{5,12}\b")
MOST_SUBJECT, MOST_NAME = 120, 80


def order_numbers(conversation: Conversation) -> set[str]:
    """The orders that the conversation speaks of."""
    said = [conversation.ticket.subject, conversation.description, *(each.text for each in conversation.comments)]
    return {number for text in said for number in ORDER_NUMBER.findall(text)}


def draft(kind: Kind, subject: str, name: str, orders: Sequence[Order], reference: str) -> str:
    """The text. `subject` and `name` are others' words: they are put in once, on one line, and never read as a text to
    fill in. `orders` must be the customer's own."""
    greeting = f"Dear {_line(name, MOST_NAME)}," if name else "Hello,"
    body = TEXTS[kind].substitute(subject=_line(subject, MOST_SUBJECT))
    told = [f"Your order {order.number} is {order.status.replace('_', ' ')}{_since(order)}." for order in orders]
    return "\n\n".join([greeting, body, *told, f"Kind regards\nSupport ({reference})"])


def _since(order: Order) -> str:
    return f" (dispatched on {order.dispatched_at:%Y-%m-%d})" if order.dispatched_at else ""


def _line(text: str, most: int) -> str:
    return " ".join(text.split())[:most]
