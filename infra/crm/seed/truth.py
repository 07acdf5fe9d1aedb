"""The ground truth: which records are the same person, which tickets the same conversation, which texts give orders.

`python -m infra.crm.seed.truth` prints it, one JSON object a line.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.crm.seed.records import World


def ground_truth(world: World) -> Iterator[dict[str, Any]]:
    """Lines of kind `person`, `mirror` and `injection`; records are written `platform:id`."""
    records: dict[str, list[str]] = defaultdict(list)
    for listing in world.listings:
        records[listing.person].append(f"{listing.platform}:{listing.record_id}")
    numbers: dict[str, list[str]] = defaultdict(list)
    for order in world.orders:
        numbers[order.person].append(order.number)
    for person in world.people:
        yield {
            "kind": "person",
            "person": person.key,
            "records": records[person.key],
            "awkward": person.awkward,
            "orders": numbers[person.key],
        }
    for ticket in world.tickets:
        if ticket.mirror and ticket.platform == "zendesk":
            yield {"kind": "mirror", "tickets": [ticket.key, f"salesforce:{ticket.mirror}"]}
        if ticket.injection:
            yield {"kind": "injection", "ticket": ticket.key}


def write_truth(world: World, path: Path) -> None:
    """Write the lines to a file."""
    path.write_text("".join(json.dumps(line) + "\n" for line in ground_truth(world)))


if __name__ == "__main__":
    from infra.crm.seed.world import make_world

    write_truth(make_world(), Path("/dev/stdout"))
