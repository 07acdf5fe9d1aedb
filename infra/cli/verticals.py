"""The verticals of the suite, by name; each is imported when it is used."""

from importlib import import_module

from common.vertical import Vertical

_MODULES = {"knowledge-base": "knowledge_base.cli", "devops": "devops.cli", "support-hub": "support_hub.cli"}


def vertical_names() -> list[str]:
    """Names as in `triptych serve NAME`."""
    return list(_MODULES)


def load_vertical(name: str) -> Vertical:
    """What the vertical registered."""
    vertical: Vertical = import_module(_MODULES[name]).vertical
    return vertical
