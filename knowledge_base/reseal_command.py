"""`triptych reseal`: objects that an older key sealed are sealed with the newest one."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from common.errors import SettingsError
from common.settings import CommonSettings, load_settings
from knowledge_base.settings import KnowledgeBaseSettings


def reseal(data_dir: Annotated[Path | None, typer.Option(help="default: TRIPTYCH_DATA_DIR")] = None) -> None:
    """Seal all files and texts with the newest encryption key, so that older ones can be thrown away.

    Set TRIPTYCH_ENCRYPTION_KEY to the new key and add the one before to TRIPTYCH_ENCRYPTION_OLD_KEYS, first at every
    server; then run this. Servers may go on meanwhile, and it is safe to repeat: the second run finds nothing to do.
    """
    from rich.console import Console

    from knowledge_base.bootstrap import build_objects

    settings = load_settings(CommonSettings, **({"data_dir": data_dir} if data_dir else {}))
    if settings.encryption_key is None:
        raise SettingsError("Objects are sealed only with TRIPTYCH_ENCRYPTION_KEY: there is nothing to do.")
    console = Console(stderr=True)

    async def run() -> tuple[int, int]:
        seen = renewed = 0
        objects = build_objects(settings, load_settings(KnowledgeBaseSettings))
        with console.status("reading the objects ...") as status:
            async for was_old in objects.reseal():
                seen, renewed = seen + 1, renewed + was_old
                status.update(f"{seen:,} read, {renewed:,} sealed again")
        return seen, renewed

    seen, renewed = asyncio.run(run())
    console.print(f"[bold]{renewed:,}[/bold] of {seen:,} objects were sealed again.", highlight=False)
