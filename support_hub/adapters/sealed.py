"""The personal part of the hub's records, sealed: a database shows neither addresses nor what is known of people."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from common.security.encryption import Keyring, place
from support_hub.records import Profile


class Sealer:
    """Seals JSON; it opens with the same `where` (table, column, row) only."""

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys

    def seal(self, value: Any, *where: str) -> bytes:
        """Bytes for a column."""
        return self._keys.seal(json.dumps(value, ensure_ascii=False).encode(), place(*where))

    def open(self, sealed: bytes, *where: str) -> Any:
        """What was sealed. Raises CannotOpen."""
        return json.loads(self._keys.open(bytes(sealed), place(*where)))

    def index(self, email: str) -> str:
        """By what rows of an address are found."""
        return self._keys.index(email.lower(), "email")

    def indexes(self, emails: Iterable[str]) -> dict[str, str]:
        """Address by index, in the order given, with older keys' indexes."""
        return {index: email for email in emails for index in self._keys.indexes(email.lower(), "email")}

    def profile(self, profile: Profile) -> tuple[str, bytes]:
        """Index and sealed content."""
        index = self.index(profile.email)
        return index, self.seal(asdict(profile), "profiles", "sealed", index)

    def first_profile(self, emails: Iterable[str], found: Mapping[str, bytes]) -> Profile | None:
        """Of what was found by index, the profile of the first address."""
        index = next((each for each in self.indexes(emails) if each in found), None)
        return Profile(**self.open(found[index], "profiles", "sealed", index)) if index is not None else None
