"""Writes `.env.example` from the settings classes: `python -m infra.env_example > .env.example`."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from common.settings import CommonSettings
from infra.cli.verticals import load_vertical, server_names

HEADER = """# Every setting, with its default. Copy this file to .env and change what you need.
# Any of them can be given in the environment instead, which wins. An unknown or wrong one stops the start.
"""


def _shown(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, dict):
        return json.dumps(default)
    if isinstance(default, list):
        return ",".join(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def settings_lines(cls: type[BaseSettings]) -> Iterator[str]:
    """The lines of one class, commented out."""
    prefix = str(cls.model_config.get("env_prefix"))
    yield f"\n# {prefix}*: {(cls.__doc__ or '').strip()}"
    for name, field in cls.model_fields.items():
        yield f"# {field.description}"
        yield f"# {prefix}{name.upper()}={_shown(field.default)}"


def render() -> str:
    """The whole file."""
    classes: list[type[BaseSettings]] = [CommonSettings, *(load_vertical(name).settings for name in server_names())]
    return HEADER + "\n".join(line for cls in classes for line in settings_lines(cls)) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
