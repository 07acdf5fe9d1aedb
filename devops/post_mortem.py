"""What the audit log has about one workload, for those who may read the log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common.runtime import Runtime
from common.security.audit_read import CALL, Shown, since
from common.security.principal import Principal
from common.security.untrusted import Untrusted, untrusted
from devops.access import Clusters

READ_LOG = "console:audit"
"""The right to read the log is the same as in the console."""
MOST_READ = 20_000
MOST_SHOWN = 200
MAX_TEXT = 40_000


@dataclass(frozen=True)
class LogOfIncident:
    """Lines of the log; `partial`: there is more, older."""

    text: Untrusted
    shown: int
    partial: bool


class PostMortems:
    """Reads the log of this server for people with the right to it, and only about namespaces that they see."""

    def __init__(self, runtime: Runtime, clusters: Clusters) -> None:
        self._runtime = runtime
        self._clusters = clusters

    async def log(self, who: Principal, namespace: str, workload: str, begin: datetime) -> LogOfIncident | None:
        """None without the right. Raises NotFound for a namespace that the caller does not see."""
        await self._clusters.check_namespace(self._clusters.named(None), who, namespace)
        if not self._runtime.policy.allows(who, READ_LOG):
            return None
        records = await since(self._runtime.engine, who.tenant, begin, MOST_READ)
        about = [record for record in records if _is_about(record["detail"], namespace, workload)]
        lines = list(map(_line, _with_outcomes(records, about)))
        kept = lines[-MOST_SHOWN:]
        partial = len(kept) < len(lines) or len(records) == MOST_READ
        return LogOfIncident(untrusted("\n".join(kept), MAX_TEXT), len(kept), partial)


def _is_about(detail: Any, namespace: str, workload: str) -> bool:
    """A call of a tool with this name and namespace, or a step of a change of it."""
    if not isinstance(detail, dict):
        return False
    arguments = detail.get("arguments")
    named = arguments if isinstance(arguments, dict) else {}
    if named.get("namespace") == namespace and workload in (named.get("name"), named.get("workload")):
        return True
    return str(detail.get("target", "")).endswith(f" {namespace}/{workload}")


def _with_outcomes(records: Sequence[Shown], about: Sequence[Shown]) -> list[Shown]:
    """An outcome does not say again what it was about: it belongs to the intent of the same call."""
    calls = {_call(record) for record in about}
    return [record for record in records if _call(record) in calls]


def _call(record: Shown) -> tuple[object, ...]:
    return tuple(record[name] for name in CALL)


def _line(record: Shown) -> str:
    detail = record["detail"]
    more = ", ".join(f"{name}={value}" for name, value in detail.items()) if isinstance(detail, dict) else ""
    who = f"{record['subject']}: " if record["subject"] else ""
    outcome = f" -> {record['outcome']}" if record["outcome"] else ""
    return f"{record['at']} {who}{record['action']} {record['kind']}{outcome} {more}".rstrip()
