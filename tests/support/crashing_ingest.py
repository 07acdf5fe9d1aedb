"""`python -m tests.support.crashing_ingest FOLDER FIRST COUNT`: accepts documents, and works until it is killed.

Prints a line for each accepted document, and `working` after each batch.
"""

import asyncio
import sys
from pathlib import Path

from common.security.access import AccessScope
from tests.support.knowledge import document, knowledge_base_in

OPERATOR = AccessScope("acme", "operator", clearance="restricted")
LEASE_SECONDS = 0.5


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def text_of(number: int, version: int) -> str:
    """Several chunks, so that a document could be half there."""
    parts = [f"## Part {part}\n\nKettle{number} of version v{version}. " + "Water boils. " * 80 for part in range(4)]
    return "\n\n".join(parts)


async def main(folder: Path, first: int, count: int) -> None:
    async with knowledge_base_in(folder) as knowledge_base:
        knowledge_base.queue.lease_seconds = LEASE_SECONDS
        for number in range(first, first + count):
            # Every third one is a new version of an earlier document.
            target, version = (number // 2, 2) if number % 3 == 2 else (number, 1)
            item = document(f"doc-{target}", text_of(target, version))
            accepted = await knowledge_base.library.add(item, OPERATOR, operator=True)
            say(f"{accepted.document_id} {accepted.version}")
        while True:
            await knowledge_base.worker.work_once(limit=4)
            say("working")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
