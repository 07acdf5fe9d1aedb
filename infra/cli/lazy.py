"""Commands that are imported when they are used: a server should not wait for what `triptych keys` needs."""

from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from infra.cli.verticals import COMMANDS


class LazyGroup(TyperGroup):
    """Knows where the commands are, and imports one when it is asked for."""

    modules: ClassVar[dict[str, str]] = {name: f"common.cli.{name}" for name in ("audit", "connect", "keys", "token")}
    modules["dead-letters"] = "infra.cli.dead_letters"
    modules |= COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *self.modules]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.modules:
            return super().get_command(ctx, cmd_name)
        app: typer.Typer = import_module(self.modules[cmd_name]).app
        command = typer.main.get_command(app)
        command.name = cmd_name
        return command
