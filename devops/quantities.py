"""Kubernetes quantities: `250m` cores, `1Gi` bytes."""

import re

_QUANTITY = re.compile(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)")
_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60}


def parse_quantity(text: object) -> float:
    """The number (cores, bytes, pieces); 0 for what is no quantity."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        return 0.0
    return float(match[1]) * {**_UNITS, **_BINARY}.get(match[2], 0.0)


def show_cpu(cores: float) -> str:
    """In thousandths of a core."""
    return f"{round(cores * 1000)}m"


def show_memory(size: float) -> str:
    """In Mi."""
    return f"{round(size / 2**20)}Mi"
