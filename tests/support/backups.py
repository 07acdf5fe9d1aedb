"""Backups as the documentation describes them: its commands, and what stands in for programs that are not here."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.services.postgres import client_programs
from tests.support.object_stores import Place

DOCS = Path(__file__).parents[2] / "docs" / "backup.md"


def steps(heading: str) -> list[str]:
    """The blocks of commands in one part of the page, in order."""
    [part] = re.findall(rf"^### {heading}\n(.*?)(?=^##)", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"^```sh\n(.*?)^```", part, re.MULTILINE | re.DOTALL)


def run(commands: str, names: Mapping[str, str]) -> str:
    """Run a block as it stands there. Raises CalledProcessError."""
    beside = f"{client_programs()}{os.pathsep}{Path(sys.executable).parent}"
    environment = {"HOME": names["BACKUP"], "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}", **names}
    done = subprocess.run(["sh", "-euc", commands], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def without_reindex(commands: str) -> str:
    """For a test that makes the index in its own process."""
    kept = [line for line in commands.splitlines() if line != "triptych reindex"]
    assert len(kept) == len(commands.splitlines()) - 1
    return "\n".join(kept)


def dump_mongodb(url: str, folder: Path) -> None:
    """What `mongodump` writes of one database: a file of BSON documents for each collection."""
    import bson
    from pymongo import MongoClient

    folder.mkdir()
    with MongoClient[dict[str, object]](url) as client:
        database = client.get_default_database()
        for name in database.list_collection_names():
            if not name.startswith("system."):
                documents = [bson.encode(each) for each in database[name].find()]
                (folder / f"{name}.bson").write_bytes(b"".join(documents))


def restore_mongodb(folder: Path, url: str) -> None:
    """What `mongorestore` makes of it; indices and rules come when a server starts."""
    import bson
    from pymongo import MongoClient

    with MongoClient[dict[str, object]](url) as client:
        database = client.get_default_database()
        for file in sorted(folder.iterdir()):
            if documents := bson.decode_all(file.read_bytes()):
                database[file.stem].insert_many(documents)


async def copy_objects(place: Place) -> dict[str, bytes]:
    """Names and bytes of all objects."""
    return {path: await place.raw(path) for path in await place.paths()}


async def lose_objects(place: Place) -> None:
    """All of them."""
    for path in await place.paths():
        await place.store.delete_async(path)
    assert not await place.paths()


async def return_objects(place: Place, kept: Mapping[str, bytes]) -> None:
    """Put them where they were."""
    for path, data in kept.items():
        await place.store.put_async(path, data)
