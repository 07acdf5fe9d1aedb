"""The command `triptych`: composes what the base and the verticals bring."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from common.errors import AppError, SettingsError
from common.garbage import pause_collection
from infra.cli.lazy import LazyGroup
from infra.cli.verticals import load_vertical, server_names, vertical_names

app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Triptych: complete MCP applications on one shared base. Begin with `triptych demo`.",
)

for vertical in map(load_vertical, vertical_names()):
    for command in vertical.commands:
        app.command()(command)

Name = StrEnum("Name", {name: name for name in vertical_names()})  # type: ignore[misc]
Server = StrEnum("Server", {name: name for name in server_names()})  # type: ignore[misc]
PORTS = ", ".join(
    f"{port} {name}" for port, name in sorted((load_vertical(name).port, name) for name in server_names())
)
ONLY: Any = server_names()[0] if len(server_names()) == 1 else ...
"""Where there is one server, nobody has to name it."""


class Transport(StrEnum):
    http = "http"
    stdio = "stdio"


class Profile(StrEnum):
    embedded = "embedded"
    production = "production"


DataDir = Annotated[Path | None, typer.Option(help="folder of the embedded profile; default: TRIPTYCH_DATA_DIR")]


@app.command(epilog=f"Example: triptych serve {next(iter(Server))}")
def serve(
    name: Annotated[Server, typer.Argument(help="which server")] = ONLY,
    transport: Annotated[Transport, typer.Option(help="http, or stdio for a client that starts it")] = Transport.http,
    host: Annotated[str, typer.Option(help="address to bind; other than loopback only behind TLS")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help=f"default: {PORTS}", min=0, max=65535)] = None,
    profile: Annotated[Profile | None, typer.Option(help="default: TRIPTYCH_PROFILE")] = None,
    data_dir: DataDir = None,
    workers: Annotated[int, typer.Option(help="processes that serve from one port", min=1, max=64)] = 1,
    tls_cert: Annotated[Path | None, typer.Option(help="certificate with its chain, PEM; or TRIPTYCH_TLS_CERT")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="its key, PEM; or TRIPTYCH_TLS_KEY")] = None,
) -> None:
    """Run a server until Ctrl-C."""
    pause_collection()
    from common.cli.serve import serve_vertical

    given = {"profile": profile, "data_dir": data_dir, "tls_cert": tls_cert, "tls_key": tls_key}
    serve_vertical(load_vertical(name), transport, host, port, given, workers)


@app.command()
def worker(
    name: Annotated[Name, typer.Argument(help="whose jobs")] = ONLY,
    profile: Annotated[Profile | None, typer.Option(help="default: TRIPTYCH_PROFILE")] = None,
    data_dir: DataDir = None,
) -> None:
    """Run a background worker until Ctrl-C; start as many as you like.

    A server works on its own jobs, too, unless its settings say otherwise.
    """
    pause_collection()
    from common.cli.worker import run_worker

    run_worker(load_vertical(name), profile, data_dir)


@app.command()
def doctor() -> None:
    """Check settings and every configured backend; says what to do about each failure."""
    from common.cli.doctor import examine

    examine([load_vertical(name) for name in vertical_names()])


@app.command()
def seed(
    name: Annotated[Name | None, typer.Argument(help="only what this server answers from; default: all")] = None,
    profile: Annotated[Profile | None, typer.Option(help="default: TRIPTYCH_PROFILE")] = None,
    data_dir: DataDir = None,
) -> None:
    """Load the demo company into the backends that the settings name."""
    from infra.seed.load import load_company

    load_company([name] if name else vertical_names(), profile, data_dir)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="in your own words")],
    vertical: Annotated[list[Name] | None, typer.Option(help="only this server; may be repeated")] = None,
    url: Annotated[list[str] | None, typer.Option(help="MCP address of a server, such as the gateway's")] = None,
    model: Annotated[str, typer.Option(help="which Claude", envvar="TRIPTYCH_ASK_MODEL")] = "claude-sonnet-5-5",
    key: Annotated[str | None, typer.Option(envvar="TRIPTYCH_API_KEY", help="API key of who asks")] = None,
) -> None:
    """Ask Claude, with the read-only tools of the running servers. Needs ANTHROPIC_API_KEY.

    Example: triptych ask "Whom do I ask about a delivery, and where does it say so?"
    """
    from common.cli.ask import run_ask

    names = vertical or vertical_names()
    run_ask(question, [load_vertical(name) for name in names], url or [], key, model, bool(vertical))


@app.command()
def evals(
    vertical: Annotated[Name | None, typer.Option(help="default: every vertical that has questions")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, for scripts")] = False,
    model: Annotated[str | None, typer.Option(help="let this model answer, too; needs ANTHROPIC_API_KEY")] = None,
    url: Annotated[str | None, typer.Option(help="a running server with the demo company")] = None,
    keys: Annotated[Path | None, typer.Option(help='for --url: a file {"alice": "tk_...", ...}')] = None,
    profile: Annotated[
        str | None, typer.Option(help="compare these: embedded,production,gateway; production is the server at --url")
    ] = None,
) -> None:
    """Ask questions whose answers are known, and score what comes back. Exit 0 only if it is good enough.

    With --profile the same questions go to each profile, and what they cite must be the same.
    """
    from infra.evals import run_evals

    names = [vertical] if vertical else vertical_names()
    if profile is not None:
        from infra.eval_profiles import profiles_from, run_profiles

        chosen = profiles_from(profile)
        good = run_profiles([load_vertical(name) for name in names], chosen, as_json, url, keys)
        raise typer.Exit(0 if good else 1)
    raise typer.Exit(0 if run_evals([load_vertical(name) for name in names], as_json, model, url, keys) else 1)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="end after the tour", envvar="ONCE")] = False,
    data_dir: DataDir = None,
) -> None:
    """Start everything with seed data, walk through it, print links and keys, and stay up until Ctrl-C."""
    from infra.demo.run import run_demo

    raise typer.Exit(run_demo(once, data_dir))


def main() -> None:
    """Entry point: errors that a person can act on are one message, not a traceback."""
    try:
        app()
    except (SettingsError, AppError) as error:
        from rich.console import Console
        from rich.markup import escape

        Console(stderr=True).print(f"[bold red]Error:[/bold red] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
