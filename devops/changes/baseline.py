"""The Pod Security Standard `baseline` of Kubernetes 1.34, for manifests that have pods in them at any depth."""

from collections.abc import Iterator
from typing import Any

from common.errors import Denied, InvalidInput

MAX_DEPTH = 32
CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID "
    "SYS_CHROOT".split()
)
SYSCTLS = (
    "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.ip_local_reserved_ports "
    "net.ipv4.ip_unprivileged_port_start net.ipv4.ping_group_range net.ipv4.tcp_fin_timeout "
    "net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes net.ipv4.tcp_keepalive_time net.ipv4.tcp_rmem "
    "net.ipv4.tcp_syncookies net.ipv4.tcp_wmem"
).split()
POWERS = frozenset({"hostNetwork", "hostPID", "hostIPC", "privileged", "hostProcess"})
REACHES = frozenset({"hostPath", "hostPort"})
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
"""Annotations of pods, from before there was `appArmorProfile`."""
# By the field that a value is in and its own; items of a list are in the field that the list is.
CHOICES: dict[tuple[str, str], list[str]] = {
    ("securityContext", "procMount"): ["Default"],
    ("seccompProfile", "type"): ["RuntimeDefault", "Localhost"],
    ("appArmorProfile", "type"): ["RuntimeDefault", "Localhost"],
    ("seLinuxOptions", "type"): ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"],
    ("seLinuxOptions", "user"): [""],
    ("seLinuxOptions", "role"): [""],
    ("sysctls", "name"): SYSCTLS,
    ("httpGet", "host"): [""],
    ("tcpSocket", "host"): [""],
}


def check_baseline(path: str, parent: str, key: str, value: Any) -> None:
    """Raises Denied for a field that the baseline does not allow."""
    if key in POWERS and value not in (False, None):
        raise Denied(f"{path} gives pods power over their node.", "Leave it out, or ask an administrator.")
    if key in REACHES and value:
        raise Denied(f"{path} reaches into the node.", "Leave it out, or ask an administrator.")
    if (parent, key) == ("capabilities", "add") and not _all_allowed(value or []):
        raise Denied(f"{path} adds capabilities that are not in the baseline.", "Leave them out.")
    allowed = CHOICES.get((parent, key))
    if allowed is not None and value is not None and value not in allowed:
        raise Denied(f"{path} has a value that is not in the baseline.", "Leave it out, or ask an administrator.")
    if key.startswith(APPARMOR) and not _is_profile(value):
        raise Denied(f"{path} switches AppArmor off.", "Leave it out, or ask an administrator.")


def _all_allowed(capabilities: Any) -> bool:
    return isinstance(capabilities, list) and all(
        isinstance(each, str) and each in CAPABILITIES for each in capabilities
    )


def _is_profile(value: Any) -> bool:
    return value in (None, "", "runtime/default") or str(value).startswith("localhost/")


def fields(value: Any, path: str = "", parent: str = "", depth: int = 0) -> Iterator[tuple[str, str, str, Any]]:
    """Path, field around it, name and value of every field. Raises InvalidInput if they are nested too deeply."""
    if depth > MAX_DEPTH:
        raise InvalidInput("The manifest is nested too deeply.", "Give one plain object.")
    if isinstance(value, dict):
        for key, item in value.items():
            # Data of a ConfigMap is text, whatever its keys are called.
            if not (depth == 0 and key in ("data", "binaryData", "metadata")):
                yield f"{path}.{key}".lstrip("."), parent, str(key), item
                yield from fields(item, f"{path}.{key}", str(key), depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from fields(item, f"{path}[{number}]", parent, depth + 1)
