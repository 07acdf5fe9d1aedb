"""Profiles in MongoDB: one document for each address, its content sealed."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ReplaceOne
from pymongo.asynchronous.database import AsyncDatabase

from common.databases.mongodb import Document, mongodb_call, prepare_collection
from common.security.encryption import Keyring
from support_hub.adapters.sealed import Sealer
from support_hub.records import Profile

NAME = "profiles"
WHAT = "The profile store"
BATCH = 500
SCHEMA = {
    "bsonType": "object",
    "additionalProperties": False,
    "required": ["email_index", "sealed", "changed_at"],
    "properties": {
        "_id": {"bsonType": "objectId"},
        "email_index": {"bsonType": "string", "pattern": "^[0-9a-f]{64}$"},
        "sealed": {"bsonType": "binData"},
        "changed_at": {"bsonType": "date"},
    },
}
"""Nothing can be stored beside it, so nothing readable."""
INDEXES = {"email_index_1": [("email_index", 1)]}


class MongoProfiles:
    """See ports.Profiles."""

    def __init__(self, database: AsyncDatabase[Document], keys: Keyring) -> None:
        self._database = database
        self._profiles = database[NAME]
        self._sealer = Sealer(keys)

    async def open(self) -> None:
        with mongodb_call(WHAT):
            await prepare_collection(self._database, NAME, SCHEMA, INDEXES, unique=tuple(INDEXES))

    async def get(self, emails: Sequence[str]) -> Profile | None:
        wanted = {"email_index": {"$in": list(self._sealer.indexes(emails))}}
        with mongodb_call(WHAT):
            found = {each["email_index"]: each["sealed"] async for each in self._profiles.find(wanted)}
        return self._sealer.first_profile(emails, found)

    async def put(self, profiles: Iterable[Profile]) -> None:
        every = list(profiles)
        for at in range(0, len(every), BATCH):
            with mongodb_call(WHAT):
                await self._profiles.bulk_write([self._replace(profile) for profile in every[at : at + BATCH]])

    def _replace(self, profile: Profile) -> ReplaceOne[dict[str, Any]]:
        # Also one that an older key wrote, so that an address has one document.
        there = {"email_index": {"$in": list(self._sealer.indexes([profile.email]))}}
        index, sealed = self._sealer.profile(profile)
        document = {"email_index": index, "sealed": sealed, "changed_at": datetime.now(UTC)}
        return ReplaceOne(there, document, upsert=True)

    async def ping(self) -> None:
        with mongodb_call(WHAT):
            await self._database.command("ping")

    async def close(self) -> None:
        await self._database.client.close()
