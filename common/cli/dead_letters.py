"""`triptych dead-letters`: jobs that were given up, of every vertical that has jobs."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.errors import InvalidInput, NotFound
from common.jobs import DeadLetter, JobQueue
from common.security.audit_chain import printable
from common.security.audit_command import audited_command
from common.settings import CommonSettings, load_settings
from common.vertical import Vertical

T = TypeVar("T")
MOST = 1000
AsJson = Annotated[bool, typer.Option("--json", help="print JSON, for scripts")]


def dead_letters(verticals: Callable[[], Sequence[Vertical]]) -> typer.Typer:
    """The commands over the verticals that have a queue."""
    app = typer.Typer(no_args_is_help=True, help="Jobs that were given up: see why, mend the cause, replay them.")

    @app.command("list")
    def list_letters(
        tenant: Annotated[str | None, typer.Option(help="default: of all")] = None,
        limit: Annotated[int, typer.Option(help="the newest", min=1, max=MOST)] = 50,
        as_json: AsJson = False,
    ) -> None:
        """Show the newest with their reasons."""

        async def read(queue: JobQueue) -> list[DeadLetter]:
            return await queue.dead_letters(tenant, limit)

        letters = [letter for found in _each(verticals(), read) for letter in found]
        if as_json:
            typer.echo(json.dumps([_shown(letter) for letter in letters]))
            return
        table = Table("id", "tenant", "what", "tries", "given up", "reason")
        for letter in letters:
            what = " ".join(str(letter.job.payload.get(name, "")) for name in ("kind", "document_id"))
            texts = (letter.job.tenant, what, str(letter.job.failures), _when(letter), letter.error)
            table.add_row(letter.job.id, *(escape(printable(text)) for text in texts))
        Console().print(table if letters else "There are no dead letters.")

    @app.command()
    def show(job_id: Annotated[str, typer.Argument(help="id, as `dead-letters list` shows it")]) -> None:
        """Show one as JSON: what was to be done, for whom, how often it was tried, and the last error."""
        typer.echo(json.dumps(_shown(_one(verticals(), job_id)), indent=2))

    @app.command()
    def replay(
        job_ids: Annotated[list[str] | None, typer.Argument(help="ids, as `dead-letters list` shows them")] = None,
        every: Annotated[bool, typer.Option("--all", help="all of them")] = False,
        tenant: Annotated[str | None, typer.Option(help="with --all: of this tenant")] = None,
    ) -> None:
        """Let them be tried again from the first try on. It is safe to repeat.

        Example: triptych dead-letters replay --all
        """
        if every == bool(job_ids):
            raise InvalidInput("Name the jobs, or give --all.", "`triptych dead-letters list` shows them.")

        async def again(queue: JobQueue) -> int:
            ids = job_ids or [letter.job.id for letter in await queue.dead_letters(tenant, MOST)]
            return await queue.replay(ids)

        count = sum(_each(verticals(), again, "replay", jobs=job_ids or "all"))
        typer.echo(f"{count} will be tried again.")
        if job_ids and count < len(set(job_ids)):
            raise NotFound("The others are no dead letters.", "They may be under way again.")

    return app


def _one(verticals: Sequence[Vertical], job_id: str) -> DeadLetter:
    async def read(queue: JobQueue) -> DeadLetter | None:
        return await queue.dead_letter(job_id)

    for found in _each(verticals, read):
        if found is not None:
            return found
    raise NotFound(f"There is no dead letter {job_id}.", "`triptych dead-letters list` shows them.")


def _each(
    verticals: Sequence[Vertical], ask: Callable[[JobQueue], Awaitable[T]], change: str = "", **detail: Any
) -> list[T]:
    """Ask the queue of each vertical; what changes something is audited."""
    settings = load_settings(CommonSettings)

    async def run() -> list[T]:
        answers = []
        for vertical in verticals:
            if vertical.queue is not None:
                async with vertical.queue(settings) as queue:
                    answers.append(await ask(queue))
        return answers

    async def audited() -> list[T]:
        async with audited_command(settings, f"cli:dead-letters {change}", "", **detail):
            return await run()

    return asyncio.run(audited() if change else run())


def _when(letter: DeadLetter) -> str:
    return datetime.fromtimestamp(letter.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _shown(letter: DeadLetter) -> dict[str, Any]:
    return {**vars(letter.job), "error": letter.error, "given_up": _when(letter)}
