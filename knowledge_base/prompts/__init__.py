"""Prompts of the knowledge base: how to use its tools well. They hold no data; the tools apply the caller's rights."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

from fastmcp import FastMCP
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field

from common.errors import InvalidInput

MAX_LENGTH = 2000


def add_prompts(server: FastMCP[Any]) -> None:
    """answer_with_citations, what_changed, find_owner. Policy names them `prompt:NAME`."""
    # Plain text for a model: there is nothing to escape.
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,  # noqa: S701
    )

    @server.prompt(title="Answer with citations")
    def answer_with_citations(
        question: Annotated[str, Field(description="what you want to know")],
    ) -> str:
        """Answer a question from the documents, each statement with the passage that says so."""
        return templates.get_template("answer_with_citations.md.j2").render(question=_text(question))

    @server.prompt(title="What changed")
    def what_changed(
        since: Annotated[str, Field(description="a day, as 2026-01-31")],
        subject: Annotated[str, Field(description="id of a document, or a topic in your own words")],
    ) -> str:
        """Say what changed since a day, in a document or in everything about a topic."""
        return templates.get_template("what_changed.md.j2").render(since=_day(since), subject=_text(subject))

    @server.prompt(title="Find the owner")
    def find_owner(
        subject: Annotated[str, Field(description="a service, product, process or document")],
    ) -> str:
        """Find out who is responsible for something, and where that stands."""
        return templates.get_template("find_owner.md.j2").render(subject=_text(subject))


def _text(text: str) -> str:
    # Not a constraint of the argument: the error for one tells the value, and not what is wrong with it.
    if not 0 < len(text.strip()) <= MAX_LENGTH:
        raise InvalidInput(f"An argument is empty, or longer than {MAX_LENGTH} characters.", "Say it shortly.")
    return text.strip()


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise InvalidInput("`since` is not a day.", "Write it as 2026-01-31.") from None
