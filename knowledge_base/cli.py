"""Commands of the knowledge base, and what it registers with the suite."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.garbage import settle
from common.security.access import Access, AccessScope
from common.settings import Classification, CommonSettings, load_settings
from common.vertical import Check, Served, Vertical
from knowledge_base.settings import KnowledgeBaseSettings

if TYPE_CHECKING:
    from rich.console import Console

    from common.evals import Evals
    from common.tour import Narrator, Stage
    from knowledge_base.bootstrap import KnowledgeBase
    from knowledge_base.ingest import Outcome


def build(common: CommonSettings, base_url: str, stdio: bool = False) -> Served:
    """The server; imported here, since commands do not need it."""
    from knowledge_base.server import build as build_server

    return build_server(common, base_url, stdio)


async def work(common: CommonSettings) -> None:
    """Work on ingest jobs until cancelled."""
    from knowledge_base.bootstrap import build_knowledge_base, opened

    async with opened(build_knowledge_base(common, load_settings(KnowledgeBaseSettings)), work=True):
        settle()
        typer.echo("knowledge-base worker: ready", err=True)
        await asyncio.Event().wait()


async def tour(narrator: "Narrator", stage: "Stage") -> None:
    """This vertical's part of the demo."""
    from knowledge_base.tour import tell

    await tell(narrator, stage)


def evals() -> "Evals":
    """The questions that `triptych evals` asks."""
    from knowledge_base.evals.scoring import evals

    return evals()


async def check_search(settings: CommonSettings) -> str:
    """Opens every backend and runs a query through it."""
    from knowledge_base.bootstrap import build_knowledge_base, opened

    knowledge_base = build_knowledge_base(settings, load_settings(KnowledgeBaseSettings))
    async with opened(knowledge_base, work=False):
        scope = AccessScope(tenant="", subject="doctor")
        await knowledge_base.search.search("doctor", scope, limit=1)
        return f"catalogue, index and embedder answer; {await knowledge_base.queue.pending()} jobs waiting"


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="files or folders (md, html, txt, pdf, docx, pptx, xlsx, jsonl)")],
    tenant: Annotated[str, typer.Option(help="whose documents they become")] = "local",
    classification: Annotated[Classification | None, typer.Option(help="default: KB_DEFAULT_CLASSIFICATION")] = None,
    group: Annotated[list[str], typer.Option(help="only this group reads them; may be repeated")] = [],  # noqa: B006
    owner: Annotated[list[str], typer.Option(help="only this person reads them; may be repeated")] = [],  # noqa: B006
    data_dir: Annotated[Path | None, typer.Option(help="default: TRIPTYCH_DATA_DIR")] = None,
) -> None:
    """Take files into the knowledge base; each is searchable, or refused with a reason.

    It is safe to repeat: what has not changed is left alone. Exit 0 only if everything became searchable.
    A line of a jsonl file is {"id", "title", "text", "metadata": {}, "access": {}}.
    """
    from rich.console import Console

    from common.observability.logging import configure_logging
    from common.security.audit_command import audited_command
    from knowledge_base.bootstrap import build_knowledge_base

    settings = load_settings(CommonSettings, **({"data_dir": data_dir} if data_dir else {}))
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    own = load_settings(KnowledgeBaseSettings)
    access = Access(classification or own.default_classification, frozenset(group), frozenset(owner))
    operator = AccessScope(tenant, "operator", frozenset(group), "restricted")
    knowledge_base = build_knowledge_base(settings, own)

    async def run() -> bool:
        async with audited_command(settings, "cli:ingest", tenant, paths=[str(path) for path in paths]) as found:
            return await _ingest(knowledge_base, paths, operator, access, Console(stderr=True), found)

    if not asyncio.run(run()):
        raise typer.Exit(1)


async def _ingest(
    knowledge_base: "KnowledgeBase",
    paths: list[Path],
    operator: AccessScope,
    access: Access,
    console: "Console",
    found: dict[str, Any],
) -> bool:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from common.jobs import new_batch
    from knowledge_base.bootstrap import opened
    from knowledge_base.ingest import Tally
    from knowledge_base.sources import find_sources, place_of

    batch = new_batch()
    outcomes: list[Outcome] = []
    tally = Tally()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with opened(knowledge_base, work=False):
        stack = ExitStack()
        places = [place_of(path) for path in paths]
        sources = await asyncio.to_thread(find_sources, places, knowledge_base.ingest.rules, stack)
        with stack, Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
            accepting = progress.add_task("accepted", total=len(sources))
            async for outcome in knowledge_base.ingest.accept(sources, operator, access, batch, operator=True):
                outcomes.append(outcome)
                tally.add(outcome)
                progress.update(accepting, completed=min(len(outcomes), len(sources)), total=len(sources))
            indexing = progress.add_task("searchable", total=len(outcomes))
            # A server beside may take some of the jobs, so the batch is asked, not our own worker.
            while (status := await knowledge_base.queue.progress(batch)) and not status.complete:
                progress.update(indexing, completed=status.done + status.failed, total=status.total)
                if not await knowledge_base.worker.work_once():
                    await asyncio.sleep(0.2)
            progress.update(indexing, completed=len(outcomes), total=len(outcomes))
            await knowledge_base.index.optimize()
        found |= {"job_id": batch, **vars(tally)}
        return await _summarise(knowledge_base, batch, outcomes, console)


async def _summarise(
    knowledge_base: "KnowledgeBase", batch: str, outcomes: "list[Outcome]", console: "Console"
) -> bool:
    from rich.markup import escape

    status = await knowledge_base.queue.progress(batch)
    if status is None:
        console.print("[yellow]There was nothing to take in.[/yellow]")
        return False
    unchanged = sum(1 for outcome in outcomes if outcome.accepted and outcome.accepted.batch is None)
    console.print(
        f"[bold]{status.done - unchanged}[/bold] searchable, [bold]{unchanged}[/bold] unchanged, "
        f"[bold]{status.failed}[/bold] refused"
    )
    for error in status.errors:
        console.print(f"  [red]refused[/red] {escape(str(error['name']))}: {escape(str(error['error']))}")
    return status.done == status.total


vertical = Vertical(
    name="knowledge-base",
    prefix="kb",
    title="Knowledge base",
    port=8001,
    settings=KnowledgeBaseSettings,
    build=build,
    tour=tour,
    work=work,
    commands=(ingest,),
    checks=(Check("search", check_search),),
    evals=evals,
)
