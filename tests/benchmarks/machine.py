"""The machine in general terms, and what things cost on it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def describe_machine() -> str:
    """What a reader needs in order to compare."""
    python = ".".join(platform.python_version_tuple()[:2])
    libraries = ", ".join(f"{name} {version(name)}" for name in ("fastmcp", "mcp", "lancedb", "onnxruntime"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {platform.system()}, Python {python}, {libraries}"


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process since its start. Linux only."""
    # The name, in parentheses, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_family(pid: int) -> float:
    """The same of a process and its children together."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid) + sum(cpu_seconds(int(child)) for child in children)


def resident_bytes() -> int:
    """Memory of this process. Linux only."""
    return resident_bytes_of(os.getpid())


def resident_bytes_of(pid: int) -> int:
    """Memory of a process. Linux only."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
