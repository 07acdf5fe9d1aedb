"""When each version of a document counted, and what publishing another one changes of that."""

from dataclasses import dataclass, field

from common.security.access import Access
from knowledge_base.documents import Published, Validity


@dataclass
class Timeline:
    """A document with the times of its versions."""

    access: Access
    current: int | None
    published_at: dict[int, float | None] = field(default_factory=dict)
    superseded_at: dict[int, float | None] = field(default_factory=dict)

    def publish(self, item: Published) -> list[Validity]:
        """Versions whose time ended by it, or had ended before: the index may not have heard of it."""
        over = []
        for number, at in self.published_at.items():
            end = self.superseded_at[number]
            if number < item.version and at is not None and (end is None or end >= item.at):
                self.superseded_at[number] = item.at
                over.append(Validity(item.tenant, item.document_id, number, item.at))
        later = [at for number, at in self.published_at.items() if number > item.version and at is not None]
        self.published_at[item.version] = item.at
        if later:
            self.superseded_at[item.version] = min(later)
            over.append(Validity(item.tenant, item.document_id, item.version, min(later)))
        self.current = max(self.current or 0, item.version)
        return over
