"""`triptych ask`: a question to Claude, with the running servers as tools."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastmcp import Client
from rich.console import Console
from rich.markup import escape

from common.ask import Answer, ask, model_api
from common.ask_tools import Toolbox, Used
from common.errors import InvalidInput, Unavailable
from common.vertical import Vertical

MODEL = "claude-sonnet-5-5"
CONNECT_SECONDS = 10.0
WIDEST = 160


class Terminal:
    """Shows the answer as it comes on standard output, and everything else on standard error."""

    def __init__(self, output: Console, notes: Console) -> None:
        self._output = output
        self._notes = notes
        self._in_text = False

    def text(self, part: str) -> None:
        """See Show."""
        self._in_text = True
        self._output.print(_harmless(part), end="", markup=False, highlight=False, soft_wrap=True)

    def tool(self, use: Used) -> None:
        """See Show."""
        self._new_line()
        mark = "[green]✓[/green]" if use.ok else "[red]✗[/red]"
        arguments = json.dumps(dict(use.arguments), ensure_ascii=False)
        call = _harmless(f"{use.name} {arguments}")[:WIDEST]
        problem = "" if use.ok else f" {_harmless(use.said)[:WIDEST]}"
        self._notes.print(f"  {mark} [cyan]{escape(call)}[/cyan] [dim]{use.seconds:.1f} s[/dim]{escape(problem)}")

    def again(self, reason: str) -> None:
        """See Show."""
        self._new_line()
        self._notes.print(f"[yellow]The answer broke off ({escape(_harmless(reason))}); asking again.[/yellow]")

    def finish(self, answer: Answer, model: str) -> None:
        """Sources, tokens and price."""
        self._new_line()
        for number, source in enumerate(answer.sources, 1):
            self._output.print(f"[{number}] {_harmless(source.title)}  {_harmless(source.name)}", markup=False)
        usage = answer.usage
        price = usage.dollars(model)
        cost = f"${price:.4f} by list price" if price is not None else "price not known"
        tokens = usage.input + usage.written + usage.read
        self._notes.print(
            f"[dim]{escape(model)}: {tokens} tokens in ({usage.read} from the cache), "
            f"{usage.output} out, {len(answer.calls)} tool calls, {cost}[/dim]"
        )

    def _new_line(self) -> None:
        if self._in_text:
            self._output.print()
            self._in_text = False


def _harmless(text: str) -> str:
    """Without what would move the cursor of a terminal or colour it."""
    return "".join(each for each in text if each in "\n\t" or each.isprintable())


def run_ask(
    question: str, verticals: Sequence[Vertical], urls: Sequence[str], key: str | None, model: str, chosen: bool
) -> None:
    """Answer on the terminal. `chosen`: every vertical has to be there, not only those that run."""
    if not question.strip():
        raise InvalidInput("There is no question.", 'Example: triptych ask "Which teams are on call this week?"')
    api = model_api()
    if not key:
        raise InvalidInput(
            "TRIPTYCH_API_KEY is not set, so the servers would not know who asks.",
            "`make demo` prints keys; `triptych keys create --owner me` makes one.",
        )
    servers = {vertical.prefix: f"http://127.0.0.1:{vertical.port}/mcp" for vertical in verticals}
    if urls:
        servers = {f"s{number}": url for number, url in enumerate(urls, 1)}
    terminal = Terminal(Console(), Console(stderr=True))

    async def run() -> None:
        async with api, _connected(servers, key, bool(urls) or chosen) as tools:
            answer = await ask(api, model, tools, [{"role": "user", "content": question}], terminal)
            terminal.finish(answer, model)

    asyncio.run(run())


@asynccontextmanager
async def _connected(servers: dict[str, str], key: str, needed: bool) -> AsyncIterator[Toolbox]:
    async with AsyncExitStack() as stack:
        clients: dict[str, Client[Any]] = {}
        for prefix, url in servers.items():
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    clients[prefix] = await stack.enter_async_context(Client(url, auth=key))
            except Exception as error:
                if needed or "401" in str(error):
                    raise Unavailable(
                        f"{url} cannot be used ({_why(error)}).", "Is it running, and was the key made for it?"
                    ) from None
        if not clients:
            raise Unavailable(
                "No server of the suite runs on this machine.",
                "Start one: `make demo`, or `triptych serve NAME`.",
            )
        yield Toolbox(clients)


def _why(error: Exception) -> str:
    return "the key was refused" if "401" in str(error) else type(error).__name__


def default_key() -> str | None:
    """Who asks, if the command line does not say so."""
    return os.environ.get("TRIPTYCH_API_KEY")
