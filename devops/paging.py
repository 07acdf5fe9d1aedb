"""Pages of a list, one after the other."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from devops.kinds import Kind
from devops.ports import Cluster, Manifest, Query


async def pages_of(
    cluster: Cluster, kind: Kind, query: Query, most: int
) -> AsyncIterator[tuple[Sequence[Manifest], bool]]:
    """The items of each page, `most` pages at most, and whether it is the last one."""
    token: str | None = None
    for _ in range(most):
        page = await cluster.objects(kind, replace(query, token=token))
        token = page.token
        yield page.items, token is None
        if token is None:
            return
