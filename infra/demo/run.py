"""`triptych demo`: starts everything, tells the tour, and stays up."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.cli.connect import command_line
from common.observability.logging import configure_logging
from common.people import create_keys
from common.settings import CommonSettings, load_settings
from common.tour import Narrator, Stage
from infra.cli.verticals import front_names, load_part, load_vertical, vertical_names
from infra.demo.people import PEOPLE
from infra.demo.servers import RunningServer, running, wait_ready
from infra.demo.tour import tell_safety

INDEX_SECONDS = 300.0
"""Enough for a machine that does much else."""


def run_demo(once: bool, data_dir: Path | None) -> int:
    """Returns the exit code: 0 only if every step was as it should be."""
    console = Console()
    # The demo has its own folder, so that it never touches other data.
    folder = (data_dir or Path(".triptych") / "demo").absolute()
    os.environ["TRIPTYCH_DATA_DIR"] = str(folder)
    for name in vertical_names():
        os.environ |= load_part(name).settings
    settings = load_settings(CommonSettings, data_dir=folder)
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    tokens = asyncio.run(create_keys(settings, PEOPLE))
    console.print("[bold]Triptych[/bold]: MCP applications on one shared base, with an invented company's data")
    started = time.monotonic()
    with ExitStack() as stack:
        servers, fronts = _started(stack, console, folder)
        _ready(console, settings, [*servers, *fronts])
        narrator = Narrator(console)
        asyncio.run(_tell(narrator, servers, fronts, tokens, settings))
        _summarise(narrator, time.monotonic() - started)
        if not once:
            _print_links(console, [*fronts, *servers], tokens)
            _wait_for_signal(console)
    return 1 if narrator.failures else 0


def _started(stack: ExitStack, console: Console, folder: Path) -> tuple[list[RunningServer], list[RunningServer]]:
    """The verticals and what stands in front of them, as processes that end with the stack."""
    with console.status("starting what runs beside the servers ..."):
        for name in vertical_names():
            os.environ |= stack.enter_context(load_part(name).beside(folder))
    verticals = [load_vertical(name) for name in vertical_names()]
    servers = stack.enter_context(running([(vertical.name, vertical.port) for vertical in verticals], folder))
    for name in front_names():
        os.environ |= load_part(name).settings(verticals, servers)
    fronts = [(name, load_vertical(name).port) for name in front_names()]
    return servers, stack.enter_context(running(fronts, folder))


def _ready(console: Console, settings: CommonSettings, servers: list[RunningServer]) -> None:
    """Hand in the seed data while the servers start, and wait for both."""
    parts = [load_part(name) for name in vertical_names()]
    with console.status("handing in the data of the demo company ..."):
        handed_in = [text for part in parts if (text := asyncio.run(part.hand_in(settings)))]
    for server in servers:
        with console.status(f"starting {server.name} ..."):
            seconds = wait_ready(server)
        console.print(f"  [green]✓[/green] {server.name} is ready at {server.url} ({seconds:.1f} s)")
    started = time.monotonic()
    with console.status("the servers work on the data ..."):
        for part in parts:
            asyncio.run(part.wait(settings, INDEX_SECONDS))
    seconds = time.monotonic() - started
    console.print(f"  [green]✓[/green] {' and '.join(handed_in) or 'everything'} can be found ({seconds:.1f} s)")


async def _tell(
    narrator: Narrator,
    servers: list[RunningServer],
    fronts: list[RunningServer],
    tokens: dict[str, str],
    settings: CommonSettings,
) -> None:
    for name, server in zip(vertical_names(), servers, strict=True):
        await _part(narrator, name, load_vertical(name).tour(narrator, Stage(server.url, tokens)))
    for name, front in zip(front_names(), fronts, strict=True):
        await _part(narrator, name, load_part(name).tell(narrator, Stage(front.url, tokens), servers))
    safety = load_part(vertical_names()[0]).safety
    await _part(narrator, "safety", tell_safety(narrator, Stage(servers[0].url, tokens), settings, safety))


async def _part(narrator: Narrator, name: str, telling: Awaitable[None]) -> None:
    try:
        await telling
    except Exception as error:
        narrator.check(False, f"the part {name} ended early: {type(error).__name__}: {error}")


def _summarise(narrator: Narrator, seconds: float) -> None:
    narrator.console.print()
    if narrator.failures:
        narrator.console.print(f"[bold red]{len(narrator.failures)} of {narrator.checks} checks failed:[/bold red]")
        for claim in narrator.failures:
            narrator.console.print(f"  [red]✗[/red] {escape(claim)}")
    else:
        narrator.console.print(f"[bold green]All {narrator.checks} checks passed[/bold green] in {seconds:.0f} s.")


def _print_links(console: Console, servers: list[RunningServer], tokens: dict[str, str]) -> None:
    console.print("\n[bold]Now yours.[/bold] Open the console and sign in with a key below:")
    for server in servers:
        console.print(f"  {server.url}/console")
    table = Table("who", "is", "clearance", "groups", "key (valid for a day)", box=None, pad_edge=True)
    for person in PEOPLE:
        table.add_row(person.name, person.about, person.clearance, ", ".join(person.groups), tokens[person.name])
    console.print(table)
    console.print("\nAsk with Claude Code, each server as somebody who has much to ask there:")
    for server in servers:
        person = load_part(server.name).person
        line = command_line(f"triptych-{server.name}", f"{server.url}/mcp", tokens[person])
        console.print(f"  {escape(line)}", soft_wrap=True)
    console.print("Other clients: `uv run triptych connect --help`")


def _wait_for_signal(console: Console) -> None:
    console.print("\n[dim]Everything stays up. Ctrl-C ends it.[/dim]")
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("stopping ...")
    finally:
        signal.signal(signal.SIGTERM, previous)
