"""MongoDB: one client with a bounded pool; each call has the caller's deadline."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from common.errors import DeadlineExceeded, SettingsError, Unavailable
from common.resilience.deadline import remaining

Document = dict[str, Any]
DEFAULTS: dict[str, Any] = {
    "appname": "triptych",
    "minPoolSize": 5,
    "maxPoolSize": 20,
    "connectTimeoutMS": 10_000,
    "serverSelectionTimeoutMS": 5_000,
    "waitQueueTimeoutMS": 30_000,
}
"""Unless the URL says otherwise."""
LEAST_SECONDS = 0.001
"""Zero would be no limit at all."""
EXISTS = 48


def connect_mongodb(url: str, ca_file: Path | None = None) -> AsyncDatabase[Document]:
    """The database that the URL names; `database.client.close()` ends it. Raises SettingsError.

    With `?tls=true` in the URL, the server's certificate and name are checked.
    """
    parsed = pymongo.uri_parser.parse_uri(url)
    if not parsed["database"]:
        raise SettingsError("the URL of MongoDB does not name a database: mongodb://host:port/name")
    ours = {name: value for name, value in DEFAULTS.items() if name not in parsed["options"]}
    if parsed["options"].get("tls") and ca_file is not None:
        ours["tlsCAFile"] = str(ca_file)
    client: AsyncMongoClient[Document] = AsyncMongoClient(url, tz_aware=True, **ours)
    return client[parsed["database"]]


@contextmanager
def mongodb_call(what: str, seconds: float = 30.0) -> Iterator[None]:
    """Bounds the calls in it by the caller's deadline. Raises DeadlineExceeded, Unavailable for failures of MongoDB."""
    try:
        with pymongo.timeout(max(remaining(seconds), LEAST_SECONDS)):
            yield
    except PyMongoError as error:
        if isinstance(error, ConnectionFailure):
            raise Unavailable(f"{what} cannot be reached.", "Try again later.", retry_after=1.0) from error
        if error.timeout:
            raise DeadlineExceeded(f"{what} did not answer in time.", "Try again later.") from error
        raise


async def prepare_collection(
    database: AsyncDatabase[Document],
    name: str,
    schema: Mapping[str, Any],
    indexes: Mapping[str, list[tuple[str, int]]],
    unique: Sequence[str] = (),
) -> None:
    """Make a collection that is missing; renew its JSON schema and its indexes. Several processes may do it at once."""
    validator = {"$jsonSchema": schema}
    try:
        # The driver's create_collection would look first, and fail if another process is faster than that.
        await database.command("create", name, validator=validator)
    except OperationFailure as error:
        if error.code != EXISTS:
            raise
        await database.command("collMod", name, validator=validator)
    for title, keys in indexes.items():
        await database[name].create_index(keys, name=title, unique=title in unique)
