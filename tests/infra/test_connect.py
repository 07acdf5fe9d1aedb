"""What connects clients: the project's own file, variables instead of keys, and the bundle of Claude Desktop."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any, Literal

import pytest
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from pydantic import BaseModel, ConfigDict
from typer.testing import CliRunner, Result

from common.cli.connect import app
from infra.cli.verticals import load_vertical, vertical_names

ROOT = Path(__file__).parents[2]


class Strict(BaseModel):
    """As the format's own schema: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


class McpConfig(Strict):
    command: str
    args: list[str] = []
    env: dict[str, str] = {}


class Server(Strict):
    type: Literal["python", "node", "binary"]
    entry_point: str
    mcp_config: McpConfig


class Option(Strict):
    type: Literal["string", "number", "boolean", "directory", "file"]
    title: str
    description: str
    required: bool = False
    default: str | None = None


class Manifest(Strict):
    """What of format 0.3 we use (github.com/anthropics/mcpb)."""

    manifest_version: Literal["0.3"]
    name: str
    display_name: str
    version: str
    description: str
    author: dict[Literal["name", "email", "url"], str]
    license: str
    server: Server
    tools_generated: bool
    prompts_generated: bool
    compatibility: dict[Literal["claude_desktop", "platforms", "runtimes"], Any]
    user_config: dict[str, Option]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"TRIPTYCH_API_KEY": None})


def bundle(folder: Path, server: str) -> tuple[Manifest, Path]:
    path = folder / "out.mcpb"
    done = run("claude-desktop", "--bundle", str(path), "--server", server)
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(path) as opened:
        opened.extractall(folder / "installed")
    manifest = Manifest.model_validate_json((folder / "installed" / "manifest.json").read_text())
    assert (folder / "installed" / manifest.server.entry_point).is_file()
    return manifest, folder / "installed"


def test_the_projects_own_file_names_every_server() -> None:
    servers = json.loads((ROOT / ".mcp.json").read_text())["mcpServers"]
    expected = {f"triptych-{name}": f"http://127.0.0.1:{load_vertical(name).port}/mcp" for name in vertical_names()}
    assert {name: server["url"] for name, server in servers.items()} == expected
    assert {server["headers"]["Authorization"] for server in servers.values()} == {"Bearer ${TRIPTYCH_API_KEY}"}


def test_without_a_key_the_client_looks_it_up() -> None:
    assert "Bearer ${TRIPTYCH_API_KEY}" in run("json").stdout
    assert "Bearer ${env:TRIPTYCH_API_KEY}" in run("cursor").stdout
    vscode = json.loads(run("vscode").stdout)
    assert vscode["inputs"][0]["password"] is True
    assert vscode["servers"]["triptych"]["headers"]["Authorization"] == "Bearer ${input:triptych-key}"
    assert "replace ${TRIPTYCH_API_KEY}" in run("claude-desktop").stderr


def test_written_twice_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run("vscode", "--write").exit_code == 0
    assert len(json.loads((tmp_path / ".vscode" / "mcp.json").read_text())["inputs"]) == 1


def test_the_bundle_fits_the_format_and_holds_no_key(tmp_path: Path) -> None:
    manifest, _ = bundle(tmp_path, "devops")
    assert manifest.name == "triptych-devops" and "tk_" not in manifest.model_dump_json()


@pytest.mark.parametrize("arguments", ["claude-code --bundle x.mcpb", "claude-desktop --bundle x.zip"])
def test_what_is_no_bundle_is_refused(arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments.split()).exit_code != 0 and not list(tmp_path.iterdir())


@pytest.mark.slow
async def test_the_bundle_starts_a_server(tmp_path: Path) -> None:
    manifest, installed = bundle(tmp_path, "devops")
    project = str(manifest.user_config["project"].default)

    def filled(text: str) -> str:
        return text.replace("${user_config.project}", project).replace("${__dirname}", str(installed))

    config = manifest.server.mcp_config
    environment = {name: filled(value) for name, value in config.env.items()}
    environment |= {"TRIPTYCH_DATA_DIR": str(tmp_path / "data"), "PATH": os.environ["PATH"]}
    transport = StdioTransport(filled(config.command), [filled(each) for each in config.args], env=environment)
    async with Client(transport) as client:
        assert "list_workloads" in {tool.name for tool in await client.list_tools()}
