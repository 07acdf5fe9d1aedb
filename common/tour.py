"""Tells a guided tour in a terminal, and knows at the end whether every step was as it should be."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule
from rich.table import Table


@dataclass
class Narrator:
    """Prints steps and checks. `failures` names every check that did not hold."""

    console: Console
    failures: list[str] = field(default_factory=list)
    checks: int = 0

    def chapter(self, title: str, why: str) -> None:
        """A headline, and one sentence on what there is to see."""
        self.console.print()
        self.console.print(Rule(f"[bold]{escape(title)}[/bold]", align="left", style="cyan"))
        self.console.print(f"[dim]{escape(why)}[/dim]")

    def ask(self, who: str, what: str) -> None:
        """Somebody asks something."""
        self.console.print(f"\n  [bold cyan]{escape(who)}[/bold cyan] [bold]{escape(what)}[/bold]")

    def answer(self, text: str, who: str = "") -> None:
        """What came back, and to whom."""
        row = Table.grid(padding=(0, 1))
        row.add_column(width=10, justify="right", style="cyan")
        row.add_column(overflow="fold")
        row.add_row(escape(who), escape(text))
        self.console.print(row)

    def check(self, holds: bool, claim: str) -> None:
        """Say whether something is as it should be; a failure ends the demo with an error."""
        self.checks += 1
        if holds:
            self.console.print(f"         [green]✓[/green] {escape(claim)}")
        else:
            self.failures.append(claim)
            self.console.print(f"         [bold red]✗ {escape(claim)}[/bold red]")


@dataclass(frozen=True)
class Stage:
    """What a tour plays on: the server's address, and a token for each person."""

    url: str
    tokens: Mapping[str, str]
    prefix: str = field(default="", kw_only=True)
    """Of the names of its tools, if a gateway is asked."""

    @asynccontextmanager
    async def client(self, person: str) -> AsyncIterator[Any]:
        """A connected MCP client that acts as this person."""
        from fastmcp import Client

        async with Client(f"{self.url}/mcp", auth=self.tokens[person]) as client:
            yield Prefixed(client, self.prefix) if self.prefix else client


@dataclass(frozen=True)
class Prefixed:
    """A client of a gateway that calls tools as their own server does."""

    client: Any
    prefix: str

    async def call_tool(self, name: str, arguments: Mapping[str, Any], **options: Any) -> Any:
        """See fastmcp.Client."""
        return await self.client.call_tool(f"{self.prefix}{name}", arguments, **options)
