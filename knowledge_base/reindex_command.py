"""`triptych reindex`: the search index again, from catalogue and objects."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from common.errors import SettingsError
from common.settings import CommonSettings, load_settings
from knowledge_base.ports import Replaceable
from knowledge_base.settings import KnowledgeBaseSettings


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

    async def run() -> tuple[int, int]:
        versions = chunks = 0
        knowledge_base = build_knowledge_base(settings, load_settings(KnowledgeBaseSettings))
        async with opened(knowledge_base, work=False):
            with console.status("reading the catalogue ...") as status:
                async for more, parts in knowledge_base.reindex.run():
                    versions, chunks = versions + more, chunks + parts
                    status.update(f"{versions:,} versions, {chunks:,} chunks written")
        return versions, chunks

    if rebuild:
        console.print(f"[bold]{asyncio.run(copied()):,}[/bold] chunks are in a new index.", highlight=False)
        return
    versions, chunks = asyncio.run(run())
    console.print(f"[bold]{versions:,}[/bold] versions are in the index again, in {chunks:,} chunks.", highlight=False)
