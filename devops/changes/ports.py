"""What changes need from the world."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from devops.changes.change import Approval, Change, Draft, Entry, Glass, HandFreeze, Switch
from devops.changes.people import Actor
from devops.changes.rollouts import Rollout
from devops.changes.states import State
from devops.kinds import Kind
from devops.ports import Manifest


class ChangeTarget(Protocol):
    """A cluster that can be changed. Reads give whole objects, unredacted: they never leave the use case.

    Writes with `dry_run` go through the server's validation and admission and change nothing. A write raises:
    Conflict (uid or resourceVersion is another, or the name is taken), NotFound, InvalidInput, Denied: nothing was
    changed. Anything else: nobody knows.
    """

    @property
    def name(self) -> str: ...

    @property
    def simulated(self) -> bool: ...

    async def read(self, kind: Kind, namespace: str | None, name: str) -> Manifest | None: ...

    async def related(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Sequence[Manifest]:
        """All objects of a kind with these labels and fields; `namespace` None: of all namespaces."""
        ...

    async def create(self, item: Manifest, dry_run: bool) -> Manifest: ...

    async def replace(self, item: Manifest, dry_run: bool) -> Manifest:
        """Put the whole object, whose uid and resourceVersion are the precondition."""
        ...

    async def apply(self, item: Manifest, dry_run: bool) -> Manifest:
        """Server-side apply without force, with uid and resourceVersion as precondition."""
        ...

    async def delete(
        self, kind: Kind, namespace: str | None, name: str, resource_version: str, uid: str, dry_run: bool
    ) -> None:
        """Delete; what it owns goes in the background."""
        ...

    async def evict(self, namespace: str, pod: str, uid: str, dry_run: bool) -> None:
        """Ask a pod to go. Conflict or Unavailable: a disruption budget forbids it now, or it is another pod."""
        ...


class ChangeStore(Protocol):
    """Changes and their journal. Each step and its journal entry come into being together, or not at all."""

    async def add(self, draft: Draft, state: State, per_hour: int) -> Change:
        """Keep a new change: `planned`, and then at once `state`.

        Raises RateLimited if its person asked for `per_hour` changes of its environment within the hour.
        """
        ...

    async def get(self, change_id: str, tenant: str) -> Change:
        """Raises NotFound."""
        ...

    async def page(
        self, tenant: str, states: Sequence[State], limit: int, older: tuple[float, str] | None
    ) -> Sequence[Change]:
        """Newest first; no states means all."""
        ...

    async def journal(self, change_id: str) -> Sequence[Entry]:
        """Every step, first one first."""
        ...

    async def move(
        self, change: Change, to: State, by: str, detail: Mapping[str, Any] | None = None, outcome: str | None = None
    ) -> bool:
        """Take the step if the change is still as `change` says; False: somebody was faster."""
        ...

    async def approve(self, change: Change, approval: Approval, needed: int) -> Change:
        """Count a person's approval, and take the step when they are enough. Raises Conflict."""
        ...

    async def ask_glass(self, change: Change, glass: Glass) -> Change:
        """Keep what was asked, with a step in the journal. Raises Conflict."""
        ...

    async def open_glass(self, change: Change, glass: Glass, second: Actor, reason: str, now: float) -> Change:
        """Note who agreed, and approve the change until the glass is over. Raises Conflict."""
        ...

    async def glasses(
        self, tenant: str, limit: int, older: tuple[float, str] | None = None, open_at: float | None = None
    ) -> Sequence[tuple[Change, Glass]]:
        """Newest first, for ever; with `open_at` only those that are not over then."""
        ...

    async def claim(self, change: Change, owner: str, lease_until: float, now: float) -> bool:
        """Take the execution: true for exactly one, and for none while changes are switched off."""
        ...

    async def hold(self, change: Change, owner: str, lease_until: float) -> bool:
        """Prolong the lease; False if it is somebody else's now."""
        ...

    async def note(self, change: Change, owner: str, detail: Mapping[str, Any]) -> None:
        """Write progress of an execution into the journal."""
        ...

    async def finish(self, change: Change, owner: str, to: State, outcome: str, detail: Mapping[str, Any]) -> bool:
        """End an execution; False if it is not this owner's any more."""
        ...

    async def approved(self, limit: int | None = None, but: Collection[str] = ()) -> Sequence[Change]:
        """What waits for execution, oldest first, of all tenants, without those named in `but`."""
        ...

    async def lapsed(self, now: float) -> Sequence[Change]:
        """Executions whose lease ran out."""
        ...

    async def overdue(self, now: float) -> Sequence[Change]:
        """What waited for too long."""
        ...

    async def switch(self) -> Switch:
        """Whether changes are switched off, by whom and why; and what is frozen in the console."""
        ...

    async def flip(self, switch: Switch) -> None:
        """Switch changes off or on, in every process at once."""
        ...

    async def freeze(self, freeze: HandFreeze) -> None:
        """Freeze an environment, in every process at once."""
        ...

    async def lift(self, freeze_id: str, by: str) -> HandFreeze:
        """End a freeze of the console. Raises NotFound if it is over already."""
        ...


class RolloutStore(Protocol):
    """Rollouts that executed changes have started."""

    async def of(self, change_id: str) -> Rollout | None: ...

    async def take(self, limit: int) -> Sequence[tuple[Change, Rollout]]:
        """Those whose turn it is; for a while they are nobody else's."""
        ...

    async def keep(self, change: Change, before: Rollout, now: Rollout, pause_seconds: float = 1.0) -> None:
        """What was seen, unless somebody else has kept something since `before`; its turn comes after the pause."""
        ...
