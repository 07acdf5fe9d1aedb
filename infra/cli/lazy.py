"""Command groups that are imported when they are used: `triptych keys` should not wait for a database library."""

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """Knows where the groups are, and imports one when it is asked for."""

    groups: ClassVar[dict[str, str]] = {"audit": "common.cli.audit", "keys": "common.cli.keys"}

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *self.groups]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.groups:
            return super().get_command(ctx, cmd_name)
        app: typer.Typer = import_module(self.groups[cmd_name]).app
        group = typer.main.get_command(app)
        group.name = cmd_name
        return group
