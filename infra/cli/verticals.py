"""The servers of the suite, by name; each is imported when it is used. No other shared code names one."""

from importlib import import_module
from typing import Any

from common.vertical import Vertical

_VERTICALS: dict[str, str] = {
    "knowledge-base": "knowledge_base",
    "devops": "devops",
    "support-hub": "support_hub",
}
_FRONTS: dict[str, str] = {
    "gateway": "infra.gateway",
}
COMMANDS: dict[str, str] = {
    "crm": "infra.cli.crm",
    "fork": "infra.fork.command",
}
"""Commands of their own, by the module that has the `app`."""


def vertical_names() -> list[str]:
    """Names as in `triptych serve NAME`."""
    return list(_VERTICALS)


def front_names() -> list[str]:
    """What stands in front of the verticals."""
    return list(_FRONTS)


def server_names() -> list[str]:
    """The verticals and what stands in front of them: all that `triptych serve` runs."""
    return [*_VERTICALS, *_FRONTS]


def packages() -> dict[str, str]:
    """Name of each server -> its package."""
    return _VERTICALS | _FRONTS


def load_vertical(name: str) -> Vertical:
    """What a vertical registered, or what stands in front."""
    vertical: Vertical = import_module(f"{packages()[name]}.cli").vertical
    return vertical


def load_part(name: str) -> Any:
    """What a server brings to the demo: a `Part` of infra/demo/part.py, or a `Front`."""
    return import_module(f"infra.demo.parts.{packages()[name].rpartition('.')[2]}").part
