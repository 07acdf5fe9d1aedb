"""The client of MongoDB: bounded, and with writes that outlast the loss of a server."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from common.errors import SettingsError


def connect(url: str, ca_file: Path | None = None) -> Any:
    """A client; nothing is opened yet. What is written is on a majority of servers and in their journal."""
    try:
        from pymongo import AsyncMongoClient
        from pymongo.read_concern import ReadConcern
        from pymongo.write_concern import WriteConcern
    except ImportError:
        raise SettingsError("KB_CATALOG=mongodb needs the extra `knowledge-base` (pymongo): install it.") from None
    options: dict[str, Any] = {"tlsCAFile": str(ca_file)} if ca_file and _is_encrypted(url) else {}
    client: Any = AsyncMongoClient(
        url,
        minPoolSize=5,
        maxPoolSize=20,
        timeoutMS=30_000,
        connectTimeoutMS=5_000,
        serverSelectionTimeoutMS=5_000,
        appname="triptych",
        **options,
    )
    concerns = {"write_concern": WriteConcern("majority", j=True), "read_concern": ReadConcern("majority")}
    return client, client.get_default_database("triptych", **concerns)


def _is_encrypted(url: str) -> bool:
    asked = parse_qs(urlsplit(url).query)
    encrypts = "true" in (*asked.get("tls", []), *asked.get("ssl", []))
    # Names in DNS mean encryption, unless the URL says otherwise.
    return encrypts or (url.startswith("mongodb+srv:") and not {"tls", "ssl"} & set(asked))
