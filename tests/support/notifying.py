"""`python -m tests.support.notifying FOLDER URL` delivers notices until it is killed."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from devops.adapters import sql_notices
from tests.support.changing import bench
from tests.support.notified import SECRET


async def main(folder: Path, url: str) -> None:
    sql_notices.LEASE_SECONDS = 1.0
    settings: dict[str, Any] = {"notify_webhook_url": url, "notify_webhook_secret": SECRET}
    async with bench(folder, **settings) as desk:
        await desk.built.courier.run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
