"""What runs beside a server and reads its secrets again."""

import asyncio
from pathlib import Path
from typing import Any

from common.security.following import following_secrets
from common.security.secret_cache import open_cache
from common.security.secret_settings import SecretSettings


class Unwell:
    """An audit log that fails once as nobody foresaw."""

    def __init__(self) -> None:
        self.is_well = True

    def append(self, record: object) -> None:
        if not self.is_well:
            self.is_well = True
            raise RuntimeError


async def test_a_failure_that_nobody_foresaw_does_not_end_it(tmp_path: Path) -> None:
    key, audit = tmp_path / "key", Unwell()
    key.write_text("one")
    settings = SecretSettings(secrets_dir=tmp_path, secrets_ttl_seconds=0.05)
    cache = open_cache(settings)
    cache.get("key")
    log: Any = audit
    async with following_secrets(settings, log, "small"), asyncio.timeout(10):
        audit.is_well = False
        while not audit.is_well:
            await asyncio.sleep(0.01)
        key.write_text("two")
        while cache.get("key").fields[""] != "two":
            await asyncio.sleep(0.01)
