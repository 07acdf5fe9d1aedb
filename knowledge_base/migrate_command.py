"""`triptych migrate`: from the embedded catalogue and objects into the backends of the settings."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from common.errors import InvalidInput
from common.settings import CommonSettings, load_settings
from knowledge_base.settings import KnowledgeBaseSettings


def migrate(data_dir: Annotated[Path | None, typer.Option(help="default: TRIPTYCH_DATA_DIR")] = None) -> None:
    """Copy catalogue and objects of the data folder into the backends of the settings (KB_CATALOG, KB_OBJECTS_URL).

    Nothing of the source is changed. It is safe to repeat: what was copied is left as it is. Then `triptych reindex`.
    """
    from rich.console import Console

    from knowledge_base.bootstrap import build_objects, build_stores
    from knowledge_base.migration import Place
    from knowledge_base.migration import migrate as copy

    common = load_settings(CommonSettings, **({"data_dir": data_dir} if data_dir else {}))
    own = load_settings(KnowledgeBaseSettings)
    if own.catalog == "sqlite":
        raise InvalidInput("The settings name the embedded catalogue.", "Set KB_CATALOG and its URL to where it goes.")
    embedded = own.model_copy(update={"catalog": "sqlite", "objects_url": None})
    console = Console(stderr=True)

    async def run() -> tuple[int, int]:
        old, new = build_stores(common, embedded), build_stores(common, own)
        source = Place(old.catalog, old.queue, old.sources, build_objects(common, embedded))
        target = Place(new.catalog, new.queue, new.sources, build_objects(common, own))
        copied = there = 0
        try:
            for stores in (old, new):
                await stores.catalog.open()
                await stores.sources.open()
            with console.status("reading the catalogue ...") as status:
                async for is_new in copy(source, target):
                    copied, there = copied + is_new, there + (not is_new)
                    status.update(f"{copied:,} documents copied, {there:,} were there")
        finally:
            await old.close()
            await new.close()
        return copied, there

    copied, there = asyncio.run(run())
    console.print(f"[bold]{copied:,}[/bold] documents copied, {there:,} were there already.", highlight=False)
