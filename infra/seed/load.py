"""`triptych seed`: loads the demo company into whatever backends the settings name."""

import asyncio
from pathlib import Path

from common.observability.logging import configure_logging
from common.settings import CommonSettings, load_settings
from infra.cli.verticals import load_part, vertical_names


def load_company(profile: str | None, data_dir: Path | None) -> None:
    """The seed data of every vertical. It is safe to repeat."""
    given = {"profile": profile, "data_dir": data_dir}
    settings = load_settings(CommonSettings, **{name: value for name, value in given.items() if value is not None})
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    asyncio.run(_load(settings))


async def _load(settings: CommonSettings) -> None:
    for name in vertical_names():
        await load_part(name).load(settings)
