"""`triptych seed`: loads the demo company into whatever backends the settings name."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from common.observability.logging import configure_logging
from common.settings import CommonSettings, load_settings
from infra.cli.verticals import load_part


def load_company(names: Sequence[str], profile: str | None, data_dir: Path | None) -> None:
    """The seed data of these verticals; no other is imported, since an image has one. It is safe to repeat."""
    given = {"profile": profile, "data_dir": data_dir}
    settings = load_settings(CommonSettings, **{name: value for name, value in given.items() if value is not None})
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    asyncio.run(_load(names, settings))


async def _load(names: Sequence[str], settings: CommonSettings) -> None:
    for name in names:
        await load_part(name).load(settings)
