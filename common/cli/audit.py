"""`triptych audit`: verify, read and export the audit log."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from common.databases import create_engine
from common.errors import SettingsError
from common.security.audit import (
    VerifyReport,
    audit_database_url,
    checkpoint_path,
    export,
    follow,
    tail,
    verify,
)
from common.security.audit_chain import printable
from common.security.redaction import JSON
from common.security.signing import Keys, load_signing_key
from common.settings import CommonSettings, load_settings

LONG_LOG = 20_000
COLOURS = {"intent": "dim", "event": "cyan"}

app = typer.Typer(
    no_args_is_help=True,
    help="The audit log: who did what, in chains of hashes that show every later change.",
)
Database = Annotated[
    str | None, typer.Option("--db", help="SQLAlchemy URL, or a SQLite file; default: the log that the settings name")
]
Checkpoints = Annotated[
    list[Path] | None,
    typer.Option(
        help="file of signed checkpoints, kept outside the database; repeat it for servers on several hosts; "
        "default: the one that the settings name"
    ),
]
Subject = Annotated[str | None, typer.Option(help="only what this person did")]
Action = Annotated[str | None, typer.Option(help="only this tool, or event such as sign_in")]
RequestId = Annotated[str | None, typer.Option(help="only this request, as error messages and logs name it")]


@app.command("verify")
def verify_log(db: Database = None, checkpoints: Checkpoints = None) -> None:
    """Check every record and checkpoint: exit 0 if intact, 1 if damaged, 2 if it could not be checked.

    Damage is a record that was changed, removed, added or moved; the first one of each chain is named. Servers may go
    on writing meanwhile. docs/audit.md says what this cannot detect.

    Example: triptych audit verify --db postgresql+asyncpg://auditor@db/audit --checkpoints /mnt/audit/host-1.jsonl
    """
    with _explained():
        settings = load_settings(CommonSettings)
        url = _log_url(settings, db)
        files = checkpoints or [checkpoint_path(settings)]
        report = asyncio.run(_verify(url, load_signing_key(settings), files))
    if report.empty:
        raise _failure(f"There is no audit log in {make_url(url).render_as_string()}: nothing was ever recorded.")
    _show(report)
    raise typer.Exit(0 if report.ok else 1)


@app.command("tail")
def tail_log(
    limit: Annotated[int, typer.Option("-n", "--limit", help="how many records", min=1, max=100_000)] = 20,
    follow_log: Annotated[bool, typer.Option("--follow", "-f", help="then show new ones, until Ctrl-C")] = False,
    subject: Subject = None,
    action: Action = None,
    request_id: RequestId = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line, for scripts")] = False,
    db: Database = None,
) -> None:
    """Show the newest records of all servers, the newest last.

    Example: triptych audit tail -n 50 --subject alice --follow
    """
    with _explained():
        url = _log_url(load_settings(CommonSettings), db)
        asyncio.run(_tail(url, limit, follow_log, (subject, action, request_id), as_json))


@app.command("export")
def export_log(
    output: Annotated[Path | None, typer.Option(help="file to write, readable by you only; default: stdout")] = None,
    db: Database = None,
) -> None:
    """Write all records as JSON lines, with their hashes, so that they can be checked elsewhere.

    Example: triptych audit export --output audit-2026-03.jsonl
    """
    with _explained():
        url = _log_url(load_settings(CommonSettings), db)
        if output is None:
            asyncio.run(_export(url, typer.get_text_stream("stdout")))
            return
        with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            count = asyncio.run(_export(url, file))
    typer.echo(f"{count} records in {output}", err=True)


@contextmanager
def _explained() -> Iterator[None]:
    """What a person can act on is one message on stderr and exit 2."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (SettingsError, OSError) as error:
        raise _failure(str(error)) from error
    except SQLAlchemyError as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise _failure(f"The audit log cannot be read: {reason}") from error


def _failure(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(2)


def _log_url(settings: CommonSettings, db: str | None) -> str:
    url = db or audit_database_url(settings)
    if "://" not in url:
        url = f"sqlite+aiosqlite:///{url}"
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        # To open it would make it.
        raise SettingsError(f"There is no audit log at {parsed.database}: the first start of a server makes it.")
    return url


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(url, load_settings(CommonSettings).ca_file)
    try:
        yield engine
    finally:
        await engine.dispose()


async def _verify(url: str, key: Keys, files: list[Path]) -> VerifyReport:
    columns = ("verifying", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verify", total=None, visible=False)
        async with _opened(url) as engine:
            return await verify(
                engine,
                key,
                *files,
                progress=lambda done, total: bar.update(task, completed=done, total=total, visible=total > LONG_LOG),
            )


def _show(report: VerifyReport) -> None:
    console = Console()
    table = Table("records", "writers", "checkpoints", "unfinished", "damaged chains")
    numbers = (report.records, report.writers, report.checkpoints, report.unfinished, len(report.problems))
    table.add_row(*(f"{number:,}" for number in numbers))
    console.print(table)
    for problem in report.problems:
        name = escape(printable(problem.writer))
        what = escape(printable(problem.what))
        console.print(f"[bold red]{problem.part} {problem.seq} of {name}[/]: {what}", soft_wrap=True, highlight=False)
    if report.unfinished:
        console.print("Unfinished: requests that run at this moment, or whose server was killed.", soft_wrap=True)
    if not report.checkpoints:
        console.print("[yellow]No checkpoint was found: what was cut off at the end does not show.[/]", soft_wrap=True)
    verdict = "[bold green]The log is intact.[/]" if report.ok else "[bold red]The log is damaged.[/]"
    console.print(verdict)


async def _tail(url: str, limit: int, go_on: bool, filters: tuple[str | None, ...], as_json: bool) -> None:
    console = Console()
    async with _opened(url) as engine:
        if go_on:
            async for record in follow(engine, limit, *filters):
                _print(console, record, as_json)
        else:
            for record in await tail(engine, limit, *filters):
                _print(console, record, as_json)


def _print(console: Console, record: dict[str, JSON], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(record))
        return
    names = ("at", "kind", "subject", "action", "outcome", "request_id")
    line = "  ".join(printable(str(record[name])) for name in names if record[name])
    outcome = "green" if record["outcome"] == "ok" else "yellow"
    style = COLOURS.get(str(record["kind"]), outcome)
    console.print(line, json.dumps(record["detail"]), style=style, markup=False, highlight=False, soft_wrap=True)


async def _export(url: str, file: TextIO) -> int:
    count = 0
    async with _opened(url) as engine:
        async for row in export(engine):
            file.write(f"{json.dumps(row, sort_keys=True)}\n")
            count += 1
    return count
