"""`triptych worker`: works on the background jobs of one vertical."""

import asyncio
import signal
from pathlib import Path

from common.errors import InvalidInput
from common.observability.logging import configure_logging
from common.settings import CommonSettings, load_settings
from common.vertical import Vertical


def run_worker(vertical: Vertical, profile: str | None, data_dir: Path | None) -> None:
    """Work until SIGTERM or Ctrl-C; a job that is interrupted is taken up again when its lease ends."""
    if vertical.work is None:
        raise InvalidInput(f"{vertical.name} has no background jobs.")
    given = {"profile": profile, "data_dir": data_dir}
    settings = load_settings(CommonSettings, **{name: value for name, value in given.items() if value is not None})
    configure_logging(settings)
    asyncio.run(_until_signal(vertical, settings))


async def _until_signal(vertical: Vertical, settings: CommonSettings) -> None:
    assert vertical.work is not None  # noqa: S101 - run_worker has checked it
    working = asyncio.ensure_future(vertical.work(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    await asyncio.wait([working])
    if not working.cancelled():
        working.result()
