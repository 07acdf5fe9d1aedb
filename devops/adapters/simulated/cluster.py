"""The simulated cluster behind the ports: reading, and writing as the API does it."""

import asyncio
import base64
import copy
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from common.errors import InvalidInput, NotFound
from common.observability.traces import Step, step
from devops.adapters.simulated.activity import log_lines, pod_use
from devops.adapters.simulated.admission import check_budgets
from devops.adapters.simulated.state import Clock, State, apply_merge, check_precondition, merge_patch, seconds_of
from devops.adapters.simulated.stored import StoredState
from devops.adapters.simulated.tables import row_of
from devops.kinds import KINDS, NODE, POD, SECRET, Kind
from devops.ports import LogQuery, Manifest, Objects, Query, Rows, Usage

NAME = "fern-ams-1"
POLL_SECONDS = 0.2
WATCH_SECONDS = 300
SIMULATED = ", simulated"


class SimulatedCluster:
    """See the package's docstring. `file` is shared by all processes; `clock` gives seconds since 1970."""

    name = NAME
    simulated = True

    def __init__(self, file: Path, clock: Clock = time.time) -> None:
        self._clock = clock
        self._stored = StoredState(file, clock)

    async def open(self) -> None:
        """Make and seed it if it is not there."""
        await self._stored.open()

    async def close(self) -> None:
        await self._stored.close()

    # Reading

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Manifest:
        with _asked("get", kind):
            return _outside((await self._stored.read()).get(kind, namespace, name))

    async def objects(self, kind: Kind, query: Query) -> Objects:
        with _asked("list", kind):
            state = await self._stored.read()
            items, token = _page(state, kind, query)
            return Objects([_outside(item) for item in items], token, str(state.version))

    async def table(self, kind: Kind, query: Query) -> Rows:
        with _asked("list", kind):
            items, token = _page(await self._stored.read(), kind, query)
            return Rows([row_of(kind, item, self._clock()) for item in items], token)

    async def logs(self, query: LogQuery) -> str:
        with step("cluster", f"get pods/log{SIMULATED}"):
            lines = await self._lines(query)
        kept = lines if query.tail is None else lines[-query.tail :] if query.tail else []
        return "\n".join(kept).encode()[: query.max_bytes].decode(errors="ignore")

    async def _lines(self, query: LogQuery) -> list[str]:
        pod = (await self._stored.read()).get(POD, query.namespace, query.pod)
        container = next((c for c in pod["spec"]["containers"] if c["name"] == query.container), None)
        if container is None:
            raise NotFound(f"There is no container {query.container} in {query.pod}.")
        now = self._clock()
        since = now - query.since_seconds if query.since_seconds is not None else 0.0
        if query.since_time is not None:
            since = max(since, seconds_of(query.since_time))
        lines = log_lines(pod, container, now, query.previous)
        return [line for line in lines if seconds_of(line.split(" ", 1)[0]) >= since] if since else lines

    async def follow_log(self, query: LogQuery) -> AsyncGenerator[str, None]:
        seen = 0.0
        first = True
        while True:
            lines = [(seconds_of(line.split(" ", 1)[0]), line) for line in await self._lines(query)]
            if first and query.tail is not None:
                seen = max([seen, *(time for time, _ in lines)])
                lines, first = lines[len(lines) - min(len(lines), query.tail) :], False
            else:
                lines = [(time, line) for time, line in lines if time > seen]
            for _, line in lines:
                yield line
            seen = max([seen, *(time for time, _ in lines)])
            await asyncio.sleep(POLL_SECONDS)

    async def watch(self, kind: Kind, query: Query, version: str) -> AsyncGenerator[Manifest, None]:
        seen = int(version or 0)
        end = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < end:
            state = await self._stored.read()
            if state.version > seen:
                items = [item for item in state.all(kind, query.namespace) if _matches(item, query)]
                for item in sorted(items, key=_version):
                    if _version(item) > seen:
                        yield _outside(item)
                seen = state.version
            await asyncio.sleep(POLL_SECONDS)

    async def pod_usage(self, query: Query) -> Sequence[Usage]:
        with step("cluster", f"list pods.metrics.k8s.io{SIMULATED}"):
            pods, _ = _page(await self._stored.read(), POD, query)
        use = {pod["metadata"]["name"]: (pod, pod_use(pod, self._clock())) for pod in pods}
        return [
            Usage(pod["metadata"]["namespace"], name, cpu, memory)
            for name, (pod, (cpu, memory)) in use.items()
            if memory
        ]

    async def node_usage(self) -> Sequence[Usage]:
        with step("cluster", f"list nodes.metrics.k8s.io{SIMULATED}"):
            state = await self._stored.read()
        sums = {node["metadata"]["name"]: [0.0, 0.0] for node in state.all(NODE)}
        for pod in state.all(POD):
            if (node := pod["spec"].get("nodeName")) in sums:
                for index, value in enumerate(pod_use(pod, self._clock())):
                    sums[node][index] += value
        return [Usage("", name, cpu, memory) for name, (cpu, memory) in sums.items()]

    # Writing

    async def create(self, item: Manifest, dry_run: bool = False) -> Manifest:
        """POST. Raises Conflict if it exists."""
        with _asked("create", KINDS.get(str(item.get("kind"))), dry_run):
            return await self._stored.change(lambda state: copy.deepcopy(state.create(item)), dry_run)

    async def replace(self, item: Manifest, dry_run: bool = False) -> Manifest:
        """PUT. A resourceVersion in it is a precondition (Conflict)."""
        with _asked("update", KINDS.get(str(item.get("kind"))), dry_run):
            return await self._stored.change(lambda state: copy.deepcopy(state.replace(item)), dry_run)

    async def patch(
        self, kind: Kind, namespace: str | None, name: str, patch: Mapping[str, Any], dry_run: bool = False
    ) -> Manifest:
        """JSON merge patch. A resourceVersion or uid in its metadata is a precondition (Conflict)."""

        def work(state: State) -> Manifest:
            live = state.get(kind, namespace, name)
            wanted = patch.get("metadata", {})
            check_precondition(live, wanted.get("resourceVersion"), wanted.get("uid"))
            return copy.deepcopy(state.replace(merge_patch(live, patch)))

        with _asked("patch", kind, dry_run):
            return await self._stored.change(work, dry_run)

    async def apply(self, item: Manifest, dry_run: bool = False) -> Manifest:
        """Server-side apply of one manager: creates, or merges. Fields of other managers stay."""

        def work(state: State) -> Manifest:
            metadata = item.get("metadata", {})
            kind = KINDS.get(str(item.get("kind")))
            live = state.find(kind, metadata.get("namespace"), str(metadata.get("name"))) if kind else None
            if live is None:
                return copy.deepcopy(state.create(item))
            check_precondition(live, metadata.get("resourceVersion"), metadata.get("uid"))
            return copy.deepcopy(state.replace(apply_merge(live, item)))

        with _asked("patch", KINDS.get(str(item.get("kind"))), dry_run):
            return await self._stored.change(work, dry_run)

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        resource_version: str | None = None,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> None:
        """DELETE with preconditions (Conflict); what it owns goes with it."""

        def work(state: State) -> None:
            check_precondition(state.get(kind, namespace, name), resource_version, uid)
            state.delete(kind, namespace, name)

        with _asked("delete", kind, dry_run):
            await self._stored.change(work, dry_run)

    async def evict(self, namespace: str, pod: str, uid: str | None = None, dry_run: bool = False) -> None:
        """The eviction API: raises Conflict if a disruption budget forbids it now."""

        def work(state: State) -> None:
            live = state.get(POD, namespace, pod)
            check_precondition(live, None, uid)
            check_budgets(state, live)
            state.delete(POD, namespace, pod)

        with step("cluster", f"create pods/eviction{' (dry run)' if dry_run else ''}{SIMULATED}"):
            await self._stored.change(work, dry_run)


def _asked(verb: str, kind: Kind | None, dry_run: bool = False) -> AbstractContextManager[Step]:
    """A step, named as that of a real cluster."""
    resource = kind.resource if kind else "object"
    return step("cluster", f"{verb} {resource}{' (dry run)' if dry_run else ''}{SIMULATED}")


def _outside(item: Manifest) -> Manifest:
    """A copy for others. The values of a Secret stay here."""
    item = copy.deepcopy(item)
    if item["kind"] == SECRET.name:
        item["data"] = dict.fromkeys(item.get("data", {}), "[redacted]")
    return item


def _page(state: State, kind: Kind, query: Query) -> tuple[list[Manifest], str | None]:
    after = _open_token(query.token)
    found: list[Manifest] = []
    for item in state.all(kind, query.namespace):
        if _place(item) > after and _matches(item, query):
            if len(found) == query.limit:
                return found, base64.urlsafe_b64encode(_place(found[-1]).encode()).decode()
            found.append(item)
    return found, None


def _version(item: Manifest) -> int:
    return int(item["metadata"]["resourceVersion"])


def _place(item: Manifest) -> str:
    return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def _open_token(token: str | None) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode() if token else ""
    except ValueError:
        raise InvalidInput("That page token is none of this cluster.") from None


def _matches(item: Manifest, query: Query) -> bool:
    metadata = item["metadata"]
    if query.namespace is None and metadata.get("namespace") in query.hidden:
        return False
    if not query.labels.items() <= metadata.get("labels", {}).items():
        return False
    return all(_field(item, path) == value for path, value in query.fields.items())


def _field(item: Manifest, path: str) -> Any:
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
