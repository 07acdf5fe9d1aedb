"""The verticals of the suite, by name; each is imported when it is used."""

from importlib import import_module

from common.vertical import Vertical

_MODULES = {"knowledge-base": "knowledge_base.cli", "devops": "devops.cli", "support-hub": "support_hub.cli"}
GATEWAY = "gateway"


def vertical_names() -> list[str]:
    """Names as in `triptych serve NAME`."""
    return list(_MODULES)


def server_names() -> list[str]:
    """The verticals and the gateway in front of them: all that `triptych serve` runs."""
    return [*_MODULES, GATEWAY]


def load_vertical(name: str) -> Vertical:
    """What the vertical registered, or the gateway."""
    module = "infra.gateway.cli" if name == GATEWAY else _MODULES[name]
    vertical: Vertical = import_module(module).vertical
    return vertical
