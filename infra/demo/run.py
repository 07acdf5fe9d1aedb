"""`triptych demo`: starts everything, tells the tour, and stays up."""

import asyncio
import json
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
from devops.adapters.simulated.stored import forget
from devops.settings import DevopsSettings
from infra.cli.verticals import GATEWAY, load_vertical, vertical_names
from infra.demo.crm import running_crm
from infra.demo.gateway import tell_gateway
from infra.demo.people import PEOPLE
from infra.demo.servers import RunningServer, running, wait_ready
from infra.demo.tour import tell_safety
from infra.seed.load import hand_in, wait_indexed
from infra.seed.support import load_support

INDEX_SECONDS = 300.0
"""Enough for a machine that does much else."""
DEMO = {
    "DEVOPS_TENANT": "fernhill",
    "DEVOPS_NAMESPACE_GROUPS": '{"*": ["engineering"]}',
    "DEVOPS_MODE": "read-write",
    "SUPPORT_TENANT": "fernhill",
    "SUPPORT_GROUPS": "support",
}
"""Settings of the demo company: its engineers alone see its cluster, its support team alone its customers."""
ASKS = {"support-hub": "maureen"}


def run_demo(once: bool, data_dir: Path | None) -> int:
    """Returns the exit code: 0 only if every step was as it should be."""
    console = Console()
    # The demo has its own folder, so that it never touches other data.
    folder = (data_dir or Path(".triptych") / "demo").absolute()
    os.environ["TRIPTYCH_DATA_DIR"] = str(folder)
    os.environ |= DEMO
    # An earlier tour may have repaired it.
    forget(load_settings(DevopsSettings).simulated_file(folder))
    settings = load_settings(CommonSettings, data_dir=folder)
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    tokens = asyncio.run(create_keys(settings, PEOPLE))
    verticals = [load_vertical(name) for name in vertical_names()]
    console.print("[bold]Triptych[/bold]: MCP applications on one shared base, with an invented company's documents")
    started = time.monotonic()
    with ExitStack() as stack:
        with console.status("starting the simulated CRM platforms ..."):
            os.environ |= stack.enter_context(running_crm(folder))
        servers = stack.enter_context(running([(vertical.name, vertical.port) for vertical in verticals], folder))
        os.environ["GATEWAY_DOMAINS"] = json.dumps(
            {vertical.prefix: [f"{server.url}/mcp"] for vertical, server in zip(verticals, servers, strict=True)}
        )
        front = stack.enter_context(running([(GATEWAY, load_vertical(GATEWAY).port)], folder))
        _start(console, settings, [*servers, *front])
        narrator = Narrator(console)
        asyncio.run(_tell(narrator, servers, front[0], tokens, settings))
        _summarise(narrator, time.monotonic() - started)
        if not once:
            _print_links(console, [front[0], *servers], tokens)
            _wait_for_signal(console)
    return 1 if narrator.failures else 0


def _start(console: Console, settings: CommonSettings, servers: list[RunningServer]) -> None:
    with console.status("handing in the documents of the demo company ..."):
        handed_in = asyncio.run(hand_in(settings))
        asyncio.run(load_support(settings))
    for server in servers:
        with console.status(f"starting {server.name} ..."):
            seconds = wait_ready(server)
        console.print(f"  [green]✓[/green] {server.name} is ready at {server.url} ({seconds:.1f} s)")
    with console.status("reading, embedding and indexing the documents ..."):
        seconds = asyncio.run(wait_indexed(settings, INDEX_SECONDS))
    console.print(f"  [green]✓[/green] {handed_in} new documents are searchable ({seconds:.1f} s)")


async def _tell(
    narrator: Narrator,
    servers: list[RunningServer],
    gateway: RunningServer,
    tokens: dict[str, str],
    settings: CommonSettings,
) -> None:
    for name, server in zip(vertical_names(), servers, strict=True):
        await _part(narrator, name, load_vertical(name).tour(narrator, Stage(server.url, tokens)))
    await _part(narrator, GATEWAY, tell_gateway(narrator, Stage(gateway.url, tokens), servers))
    await _part(narrator, "safety", tell_safety(narrator, Stage(servers[0].url, tokens), settings))


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
    console.print(
        "\nAsk with Claude Code through the gateway as alice, and a domain by itself, about customers as maureen:"
    )
    for server in servers:
        line = command_line(f"triptych-{server.name}", f"{server.url}/mcp", tokens[ASKS.get(server.name, "alice")])
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
