"""The first level: a bounded map in the process that forgets by tag."""

from collections import OrderedDict
from collections.abc import Sequence

from common.cache.entry import Entry

CEILING_SECONDS = 30.0
"""No entry is trusted for longer without asking Redis again."""


class Memory:
    """Least recently used entries go first. A fill that an invalidation overtook is dropped."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[str, tuple[Entry, float]] = OrderedDict()
        self._by_tag: dict[str, set[str]] = {}
        self._moment = 0
        self._dropped: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        """The last moment about whose invalidations nothing is known any more."""

    def moment(self) -> int:
        """A point in the order of invalidations; take it before a value is read."""
        return self._moment

    def get(self, key: str, now: float) -> Entry | None:
        """The entry, fresh or stale."""
        found = self._entries.get(key)
        if found is None:
            return None
        if found[1] <= now:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: str, entry: Entry, since: int, now: float) -> bool:
        """Keep an entry that was read since that moment; false if it was invalidated meanwhile."""
        if since < self._forgotten or any(self._dropped.get(tag, 0) > since for tag in entry.tags):
            return False
        self._remove(key)
        self._entries[key] = entry, min(entry.usable_until, now + CEILING_SECONDS)
        for tag in entry.tags:
            self._by_tag.setdefault(tag, set()).add(key)
        while len(self._entries) > self._max_entries:
            self._remove(next(iter(self._entries)))
        return True

    def drop(self, tags: Sequence[str]) -> None:
        """Forget what carries one of the tags."""
        self._moment += 1
        for tag in tags:
            self._dropped[tag] = self._moment
            self._dropped.move_to_end(tag)
            for key in self._by_tag.get(tag, set()).copy():
                self._remove(key)
        while len(self._dropped) > self._max_entries:
            _, self._forgotten = self._dropped.popitem(last=False)

    def clear(self) -> None:
        """Forget everything, also what is being read."""
        self._moment += 1
        self._forgotten = self._moment
        self._entries.clear()
        self._by_tag.clear()
        self._dropped.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def _remove(self, key: str) -> None:
        found = self._entries.pop(key, None)
        for tag in found[0].tags if found else ():
            keys = self._by_tag[tag]
            keys.discard(key)
            if not keys:
                del self._by_tag[tag]
