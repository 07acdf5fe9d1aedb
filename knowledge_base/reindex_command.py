"""`triptych reindex`: the search index again, from catalogue and objects."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import NotFound, SettingsError
from common.settings import CommonSettings, load_settings
from knowledge_base.ports import Replaceable
from knowledge_base.settings import KnowledgeBaseSettings

if TYPE_CHECKING:
    from knowledge_base.reindex import Place

NAMED = 20
"""Versions without a text that are named; of the others only how many they are."""


def reindex(
    data_dir: Annotated[Path | None, typer.Option(help="default: TRIPTYCH_DATA_DIR")] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="copy the old index instead, which answers until the new one is ready")
    ] = False,
) -> None:
    """Make the search index again from catalogue and objects: after a loss, or with another model.

    Servers may go on meanwhile, and it is safe to repeat. Documents whose job still waits are left to the workers. With
    --rebuild an index in Elasticsearch is copied into a new one, as a new version of the mapping needs it.
    """
    from rich.console import Console

    from common.observability.logging import configure_logging
    from knowledge_base.bootstrap import build_knowledge_base, opened

    settings = load_settings(CommonSettings, **({"data_dir": data_dir} if data_dir else {}))
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    console = Console(stderr=True)

    async def copied() -> int:
        index = build_knowledge_base(settings, load_settings(KnowledgeBaseSettings)).index
        if not isinstance(index, Replaceable):
            raise SettingsError("--rebuild needs KB_INDEX=elasticsearch; without it any index is made again.")
        try:
            return await index.rebuild()
        finally:
            await index.close()

    async def run() -> tuple[int, int, "list[Place]"]:
        versions = chunks = 0
        knowledge_base = build_knowledge_base(settings, load_settings(KnowledgeBaseSettings))
        async with opened(knowledge_base, work=False):
            with console.status("reading the catalogue ...") as status:
                async for more, parts in knowledge_base.reindex.run():
                    versions, chunks = versions + more, chunks + parts
                    status.update(f"{versions:,} versions, {chunks:,} chunks written")
        return versions, chunks, knowledge_base.reindex.missing

    if rebuild:
        console.print(f"[bold]{asyncio.run(copied()):,}[/bold] chunks are in a new index.", highlight=False)
        return
    versions, chunks, missing = asyncio.run(run())
    found = versions - len(missing)
    console.print(f"[bold]{found:,}[/bold] versions are in the index again, in {chunks:,} chunks.", highlight=False)
    if missing:
        raise NotFound(_lost(missing), "Restore the objects of the same backup and run it again, or delete these.")


def _lost(missing: "Sequence[Place]") -> str:
    named = ", ".join(f"{document} version {version} of {tenant}" for tenant, document, version in missing[:NAMED])
    more = ", ..." if len(missing) > NAMED else ""
    return f"{len(missing):,} versions have no text among the objects: {named}{more}."
