"""The DevOps server in the demo: a simulated cluster with an incident, which engineers alone see."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from common.settings import load_settings
from devops.adapters.simulated.stored import forget
from devops.settings import DevopsSettings
from infra.demo.part import Part, Safety


@contextmanager
def broken_again(folder: Path) -> Iterator[Mapping[str, str]]:
    """An earlier tour may have repaired the cluster."""
    forget(load_settings(DevopsSettings).simulated_file(folder))
    yield {}


part = Part(
    person="alice",
    safety=Safety(
        writer="alice",
        reader="noor",
        hidden="scale_workload",
        read=("list_workloads", {}),
        answered=lambda content: [item["name"] for item in content["items"]],
        wrong=("list_pods", {"namespace": "production"}, "limit", "hunter2"),
        audited="rollback_workload",
    ),
    settings={
        "DEVOPS_TENANT": "fernhill",
        "DEVOPS_NAMESPACE_GROUPS": '{"*": ["engineering"]}',
        "DEVOPS_MODE": "read-write",
    },
    beside=broken_again,
)
