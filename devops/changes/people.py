"""Who asked and who approved: a person, whatever key they used, and what that person may do now."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from common.security.api_key_stores import ApiKeys
from common.security.principal import Principal, current_principal
from common.settings import Classification

# Cyrillic and Greek letters by the Latin one that they look like, small or else as a capital. Rather too many names are
# of one person than too few.
_LOOK_ALIKES = str.maketrans("авекмнорстухѕіјһԁԛԝӏαβεζηικμνορτυχıɑɡѵү", "abekmhopctyxsijhdqwlabeznikmvoptuxiagvy")
_CAPITALS = str.maketrans("ΗΝΥѴҮ", "HNYVY")
"""Whose small forms look like other letters than they do."""
_UNSEEN = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\ufe00-\ufe0f\U000e0000-\U000e0fff]")
"""What shows nothing, beside control and format characters."""


@dataclass(frozen=True)
class Actor:
    """Somebody as they were when they acted."""

    subject: str
    tenant: str
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    clearance: Classification
    key_id: str | None = None

    @property
    def person(self) -> str:
        """Equal for two keys of one person. Upper case, blanks and look-alike letters do not make somebody else."""
        # Taken apart, so that an accent does not hide which letter is below it.
        apart = unicodedata.normalize("NFKD", self.subject).translate(_CAPITALS).casefold().translate(_LOOK_ALIKES)
        folded = _UNSEEN.sub("", unicodedata.normalize("NFKC", apart))
        return "".join(each for each in folded if unicodedata.category(each) not in ("Cc", "Cf")).strip()

    @property
    def principal(self) -> Principal:
        return Principal(
            self.subject, self.tenant, frozenset(self.roles), frozenset(self.groups), self.clearance, key_id=self.key_id
        )


def actor_of(principal: Principal) -> Actor:
    """What is kept of a caller."""
    roles, groups = tuple(sorted(principal.roles)), tuple(sorted(principal.groups))
    return Actor(principal.subject, principal.tenant, roles, groups, principal.clearance, principal.key_id)


def actor_from(stored: dict[str, Any]) -> Actor:
    """The reverse of `vars(actor)` through JSON."""
    return Actor(**{**stored, "roles": tuple(stored["roles"]), "groups": tuple(stored["groups"])})


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """What the block does, it does for this person, also where a cluster is told whom to act as."""
    token = current_principal.set(actor.principal)
    try:
        yield
    finally:
        current_principal.reset(token)


class Rights(Protocol):
    """What somebody may do now."""

    async def current(self, actor: Actor) -> Principal | None:
        """None: this person may not do anything any more."""


class KeyRights:
    """Looks an API key up again. The rights of a JWT are those it had, until the change expires."""

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys

    async def current(self, actor: Actor) -> Principal | None:
        """See Rights."""
        if actor.key_id is None:
            return actor.principal
        key = await self._api_keys.get(actor.key_id)
        same = key is not None and (key.owner, key.tenant) == (actor.subject, actor.tenant)
        return key.principal if key and same else None
