"""Runbooks as MCP resources: one for each cause that a diagnosis names. They hold no data of a cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastmcp import FastMCP

HERE = Path(__file__).parent


def address(name: str) -> str:
    """Where a client reads it; behind a gateway, too, since the scheme is this domain's prefix."""
    return f"devops://runbooks/{name}"


def runbooks() -> dict[str, str]:
    """Name -> text, whose first line is the cause."""
    return {path.stem: path.read_text() for path in sorted(HERE.glob("*.md"))}


def add_runbooks(server: FastMCP[Any]) -> None:
    """A resource for each. Policy asks for `read_resource`."""
    for name, text in runbooks().items():
        title = text.partition("\n")[0].removeprefix("# ")
        resource = server.resource(
            address(name),
            name=f"runbook-{name}",
            title=title,
            description=f"What to look at and to do when a diagnosis says: {title}.",
            mime_type="text/markdown",
        )
        resource(_reader(text))


def _reader(text: str) -> Callable[[], str]:
    def read() -> str:
        return text

    return read
