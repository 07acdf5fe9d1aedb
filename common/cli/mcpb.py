"""A bundle for Claude Desktop (.mcpb): a zip with a manifest and what starts the server of this checkout over stdio."""

import json
import re
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common.errors import InvalidInput

LAUNCH = "server/launch.py"
LAUNCHER = '''"""Starts the server of a checkout, from that folder, so that its .env is read."""

import os
import sys

program = os.path.join(os.path.dirname(sys.executable), "triptych")
os.chdir(sys.argv[1])
os.execv(program, [program, "serve", "{server}", "--transport", "stdio"])
'''


def manifest(server: str, project: Path) -> dict[str, Any]:
    """Format 0.3: the oldest that has all of what is used, so that older versions of Claude Desktop take it, too."""
    return {
        "manifest_version": "0.3",
        "name": f"triptych-{server}",
        "display_name": f"Triptych {server}",
        "version": version("triptych"),
        "description": f"The {server} server of Triptych, started from a checkout on this machine.",
        "author": {"name": "Triptych"},
        "license": "Apache-2.0",
        "server": {
            "type": "python",
            "entry_point": LAUNCH,
            "mcp_config": {
                "command": "${user_config.project}/.venv/bin/python",
                "args": [f"${{__dirname}}/{LAUNCH}", "${user_config.project}"],
            },
        },
        "tools_generated": True,
        "prompts_generated": True,
        "compatibility": {"platforms": ["darwin", "linux"]},
        "user_config": {
            "project": {
                "type": "directory",
                "title": "Checkout",
                "description": "Folder of Triptych in which `make setup` has run",
                "required": True,
                "default": str(project),
            }
        },
    }


def write_bundle(path: Path, server: str) -> None:
    """Write the bundle; it holds no key: over stdio the server acts as the identity of its settings."""
    if path.suffix != ".mcpb":
        raise InvalidInput(f"{path} is no name of a bundle.", "Let it end in .mcpb.")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", server):
        raise InvalidInput(f"{server} is no server.", "`triptych serve --help` lists them.")
    draft = path.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("manifest.json", json.dumps(manifest(server, Path(sys.prefix).parent), indent=2))
        bundle.writestr(LAUNCH, LAUNCHER.format(server=server))
    draft.replace(path)
