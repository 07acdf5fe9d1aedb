"""`triptych ingest`: files and folders into the knowledge base, once or followed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import AppError, InvalidInput
from common.security.access import Access, AccessScope
from common.settings import Classification, CommonSettings, load_settings
from knowledge_base.settings import KnowledgeBaseSettings

if TYPE_CHECKING:
    from rich.console import Console

    from knowledge_base.bootstrap import KnowledgeBase
    from knowledge_base.documents import FolderSource
    from knowledge_base.sync import Plan

WHAT = "files, folders, s3://bucket/prefix, az://container/prefix (md, html, txt, pdf, docx, pptx, xlsx, jsonl)"
WATCH_SECONDS = 60
"""A followed folder is looked through at least so often: events can get lost."""
SHOWN = 20
Work = Callable[..., Awaitable[bool]]


def ingest(
    paths: Annotated[list[str], typer.Argument(help=WHAT)],
    tenant: Annotated[str, typer.Option(help="whose documents they become")] = "local",
    classification: Annotated[Classification | None, typer.Option(help="default: KB_DEFAULT_CLASSIFICATION")] = None,
    group: Annotated[list[str], typer.Option(help="only this group reads them; may be repeated")] = [],  # noqa: B006
    owner: Annotated[list[str], typer.Option(help="only this person reads them; may be repeated")] = [],  # noqa: B006
    data_dir: Annotated[Path | None, typer.Option(help="default: TRIPTYCH_DATA_DIR")] = None,
    sync: Annotated[bool, typer.Option("--sync", help="follow one folder: also update and delete")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="like --sync, again after each change, until Ctrl-C")] = False,
    name: Annotated[str, typer.Option(help="of the followed folder; default: its own")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="with --sync: only say what would be done")] = False,
    checksum: Annotated[bool, typer.Option("--checksum", help="with --sync: read every file")] = False,
    force: Annotated[bool, typer.Option("--force", help="though half is gone, or the folder has moved")] = False,
) -> None:
    """Take files into the knowledge base; each is searchable, or refused with a reason.

    It is safe to repeat: what has not changed is left alone. Exit 0 only if everything became searchable.
    A line of a jsonl file is {"id", "title", "text", "metadata": {}, "access": {}}.
    """
    from knowledge_base.buckets import SCHEMES
    from knowledge_base.documents import FolderSource

    own = load_settings(KnowledgeBaseSettings)
    access = Access(classification or own.default_classification, frozenset(group), frozenset(owner))
    is_default = not (classification or group or owner)
    detail = {"paths": paths, "sync": sync or watch}
    if not (sync or watch):
        operator = AccessScope(tenant, "operator", frozenset(group), "restricted")
        work = partial(_once, paths=paths, operator=operator, access=access, is_default=is_default, force=force)
        _run(data_dir, own, tenant, detail, work)
        return
    from common.security.audit_command import operator_name

    options = {"checksum": checksum, "force": force, "dry_run": dry_run}
    if len(paths) == 1 and paths[0].startswith(SCHEMES):
        if watch:
            raise InvalidInput("--watch follows a folder.", "Run --sync for a bucket again and again.")
        url = paths[0].rstrip("/")
        source = FolderSource(tenant, name or url.rpartition("/")[2], url, access, operator_name())
        _run(data_dir, own, tenant, detail, partial(_sync, source=source, options=options))
        return
    root = Path(paths[0]).resolve()
    if len(paths) != 1 or not root.is_dir():
        raise InvalidInput("--sync and --watch follow one folder.", "Name it, and is it mounted?")
    source = FolderSource(tenant, name or root.name, str(root), access, operator_name())
    if watch:
        _run(data_dir, own, tenant, detail, partial(_watch, source=source, options=options))
    else:
        _run(data_dir, own, tenant, detail, partial(_sync, source=source, options=options))


def _run(data_dir: Path | None, own: KnowledgeBaseSettings, tenant: str, detail: dict[str, Any], work: Work) -> None:
    from rich.console import Console

    from common.observability.logging import configure_logging
    from common.security.audit_command import audited_command
    from knowledge_base.bootstrap import build_knowledge_base, opened

    settings = load_settings(CommonSettings, **({"data_dir": data_dir} if data_dir else {}))
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    knowledge_base = build_knowledge_base(settings, own)

    async def run() -> bool:
        async with audited_command(settings, "cli:ingest", tenant, **detail) as found:
            async with opened(knowledge_base, work=False):
                return await work(knowledge_base, Console(stderr=True), found)

    try:
        whole = asyncio.run(run())
    except KeyboardInterrupt:
        raise typer.Exit(0 if detail["sync"] else 130) from None
    if not whole:
        raise typer.Exit(1)


async def _once(
    knowledge_base: "KnowledgeBase",
    console: "Console",
    found: dict[str, Any],
    paths: list[str],
    operator: AccessScope,
    access: Access,
    is_default: bool,
    force: bool,
) -> bool:
    from common.files import NotTaken
    from common.jobs import new_batch
    from knowledge_base.buckets import SCHEMES
    from knowledge_base.ingest import Tally
    from knowledge_base.sources import Place, Source, find_sources, place_of

    batch, tally = new_batch(), Tally()
    async with AsyncExitStack() as stack:
        files = stack.enter_context(ExitStack())
        places, sources, origins = list[Place](), list[Source | NotTaken](), dict[Path, str]()
        for path in paths:
            if path.startswith(SCHEMES):
                mirror, refused = await stack.enter_async_context(knowledge_base.buckets.mirrored(path))
                places.append((mirror, ""))
                origins[mirror] = path.rstrip("/")
                sources += refused
            else:
                places.append(place_of(Path(path)))
        sources += await asyncio.to_thread(find_sources, places, knowledge_base.ingest.rules, files, origins)
        with _bar(console) as progress:
            accepting = progress.add_task("accepted", total=len(sources))
            accepted = knowledge_base.ingest.accept(sources, operator, access, batch, True, is_default, force)
            async for outcome in accepted:
                tally.add(outcome)
                done = tally.accepted + tally.unchanged + tally.refused
                progress.update(accepting, completed=min(done, len(sources)))
    found |= {"job_id": batch, **vars(tally)}
    await _index(knowledge_base, console, batch)
    return await _summarise(knowledge_base, console, batch, tally.unchanged)


async def _sync(
    knowledge_base: "KnowledgeBase",
    console: "Console",
    found: dict[str, Any],
    source: "FolderSource",
    options: dict[str, bool],
) -> bool:
    from knowledge_base.buckets import SCHEMES
    from knowledge_base.ingest import Tally

    follow = knowledge_base.buckets if source.root.startswith(SCHEMES) else knowledge_base.sync
    plan = await follow.run(source, **options)
    _show(console, plan, would=options["dry_run"])
    if options["dry_run"]:
        return True
    tally = Tally()
    for outcome in plan.outcomes:
        tally.add(outcome)
    found |= {"job_id": plan.batch, "deleted": len(plan.deleted), **vars(tally)}
    await _index(knowledge_base, console, plan.batch)
    status = await knowledge_base.queue.progress(plan.batch)
    for error in status.errors if status else []:
        _say_refused(console, str(error["name"]), str(error["error"]))
    return status is None or status.done == status.total


async def _watch(
    knowledge_base: "KnowledgeBase",
    console: "Console",
    found: dict[str, Any],
    source: "FolderSource",
    options: dict[str, bool],
) -> bool:
    """Until it is cancelled. A pass that fails is said, and tried again after the next change."""
    from watchfiles import awatch

    changes = awatch(source.root, debounce=1_000, step=200, rust_timeout=WATCH_SECONDS * 1000, yield_on_timeout=True)
    console.print(f"Following {source.root}; Ctrl-C ends it.", highlight=False)
    await _pass(knowledge_base, console, found, source, options)
    async for _ in changes:
        await _pass(knowledge_base, console, found, source, options)
    return True


async def _pass(
    knowledge_base: "KnowledgeBase",
    console: "Console",
    found: dict[str, Any],
    source: "FolderSource",
    options: dict[str, bool],
) -> None:
    try:
        plan = await knowledge_base.sync.run(source, **options)
        if plan.added or plan.changed or plan.vanished:
            _show(console, plan, would=options["dry_run"])
            await _index(knowledge_base, console, plan.batch)
            for name in ("added", "changed", "deleted"):
                found[name] = found.get(name, 0) + len(getattr(plan, name))
    except AppError as error:
        console.print(f"[red]{error}[/red]", highlight=False)


async def _index(knowledge_base: "KnowledgeBase", console: "Console", batch: str) -> None:
    with _bar(console) as progress:
        indexing = progress.add_task("searchable", total=None)
        # A server beside may take some of the jobs, so the batch is asked, not our own worker.
        while (status := await knowledge_base.queue.progress(batch)) and not status.complete:
            progress.update(indexing, completed=status.done + status.failed, total=status.total)
            if not await knowledge_base.worker.work_once():
                await asyncio.sleep(0.2)
        if status:
            progress.update(indexing, completed=status.total, total=status.total)
            await knowledge_base.index.optimize()


def _bar(console: "Console") -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _show(console: "Console", plan: "Plan", would: bool) -> None:
    from rich.markup import escape

    from common.files import shown_path

    lists = {
        "add": [seen.source.path for seen in plan.added],
        "change": [seen.source.path for seen in plan.changed],
        "delete": plan.vanished,
        "keep, changed since": plan.kept,
    }
    for what, names in lists.items():
        for name in names[:SHOWN]:
            console.print(f"  {'would ' if would else ''}{what} {escape(shown_path(name))}", highlight=False)
        if len(names) > SHOWN:
            console.print(f"  ... and {len(names) - SHOWN} more to {what}")
    if would:
        for item in plan.refused[:SHOWN]:
            _say_refused(console, shown_path(item.relative), item.reason)
    counts = f"{len(plan.added)} added, {len(plan.changed)} changed, {plan.unchanged} unchanged"
    console.print(f"{counts}, {len(plan.vanished)} gone, {len(plan.refused)} refused", highlight=False)


def _say_refused(console: "Console", name: str, reason: str) -> None:
    from rich.markup import escape

    console.print(f"  [red]refused[/red] {escape(name)}: {escape(reason)}")


async def _summarise(knowledge_base: "KnowledgeBase", console: "Console", batch: str, unchanged: int) -> bool:
    status = await knowledge_base.queue.progress(batch)
    if status is None:
        console.print("[yellow]There was nothing to take in.[/yellow]")
        return False
    console.print(
        f"[bold]{status.done - unchanged}[/bold] searchable, [bold]{unchanged}[/bold] unchanged, "
        f"[bold]{status.failed}[/bold] refused"
    )
    for error in status.errors:
        _say_refused(console, str(error["name"]), str(error["error"]))
    return status.done == status.total
