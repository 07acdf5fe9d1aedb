"""`triptych connect`: configuration for MCP clients."""

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from common.errors import InvalidInput

app = typer.Typer()


class McpClient(StrEnum):
    claude_code = "claude-code"
    claude_desktop = "claude-desktop"
    cursor = "cursor"
    vscode = "vscode"
    json = "json"


PROJECT_FILES = {
    McpClient.claude_code: ".mcp.json",
    McpClient.cursor: ".cursor/mcp.json",
    McpClient.vscode: ".vscode/mcp.json",
}


PLACEHOLDERS = {McpClient.cursor: "${env:TRIPTYCH_API_KEY}", McpClient.vscode: "${input:triptych-key}"}
"""How a client writes what it looks up itself, so that no key stands in a file; others write it as a shell does."""


def configuration(client: McpClient, name: str, url: str, key: str) -> dict[str, Any]:
    """The client's configuration for one server."""
    headers = {"Authorization": f"Bearer {key}"}
    if client is McpClient.vscode:
        document: dict[str, Any] = {"servers": {name: {"type": "http", "url": url, "headers": headers}}}
        if key == PLACEHOLDERS[client]:
            asked = {"type": "promptString", "id": "triptych-key", "description": "Triptych API key", "password": True}
            document["inputs"] = [asked]
        return document
    if client is McpClient.claude_desktop:
        # Claude Desktop starts programs; mcp-remote bridges its stdio to HTTP.
        remote = ["-y", "mcp-remote", url, "--header", "Authorization:${TRIPTYCH_AUTHORIZATION}"]
        env = {"TRIPTYCH_AUTHORIZATION": headers["Authorization"]}
        return {"mcpServers": {name: {"command": "npx", "args": remote, "env": env}}}
    return {"mcpServers": {name: {"type": "http", "url": url, "headers": headers}}}


def command_line(name: str, url: str, key: str) -> str:
    """The command that adds the server to Claude Code."""
    header = shlex.quote(f"Authorization: Bearer {key}")
    return f"claude mcp add --transport http {shlex.quote(name)} {shlex.quote(url)} --header {header}"


@app.command()
def connect(
    client: Annotated[McpClient, typer.Argument(help="which client")],
    url: Annotated[str, typer.Option(help="MCP address of the server")] = "http://127.0.0.1:8001/mcp",
    name: Annotated[str, typer.Option(help="name of the server in the client")] = "triptych",
    key: Annotated[
        str | None, typer.Option(help="API key; without it the client looks up TRIPTYCH_API_KEY, or asks for it")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="merge it into this project's configuration file")] = False,
    bundle: Annotated[Path | None, typer.Option(help="claude-desktop: write a bundle to open with it")] = None,
    server: Annotated[str | None, typer.Option(help="for --bundle: which server it starts; default: its name")] = None,
) -> None:
    """Print the configuration that connects a client, or write it into this folder.

    Example: triptych connect claude-desktop --bundle out.mcpb --server NAME
    """
    if bundle is not None:
        _bundle(client, bundle, server or bundle.stem)
        return
    key = key or PLACEHOLDERS.get(client, "${TRIPTYCH_API_KEY}")
    document = configuration(client, name, url, key)
    if not write:
        if client is McpClient.claude_code:
            typer.echo(command_line(name, url, key), err=True)
        if client is McpClient.claude_desktop and key.startswith("$"):
            typer.echo("Claude Desktop looks up no variables: replace ${TRIPTYCH_API_KEY}, or say --key.", err=True)
        typer.echo(json.dumps(document, indent=2))
        return
    if client not in PROJECT_FILES:
        raise InvalidInput(f"{client} has no file in a project.", "Leave out --write, and paste what is printed.")
    path = Path(PROJECT_FILES[client])
    _merge(path, document)
    typer.echo(f"Wrote {path}. Restart the client to see the tools.")


def _bundle(client: McpClient, path: Path, server: str) -> None:
    from common.cli.mcpb import write_bundle

    if client is not McpClient.claude_desktop:
        raise InvalidInput("Only Claude Desktop opens bundles.", "Leave out --bundle.")
    write_bundle(path, server)
    typer.echo(f"Wrote {path}. Open it with Claude Desktop; it starts the {server} server of this checkout.")


def _merge(path: Path, document: dict[str, Any]) -> None:
    try:
        present = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        raise InvalidInput(f"{path} is not JSON, so nothing was changed.", "Mend it, or move it away.") from None
    for section, entries in document.items():
        if isinstance(entries, list):
            there = present.get(section, [])
            present[section] = [*there, *(entry for entry in entries if entry not in there)]
        else:
            present[section] = {**present.get(section, {}), **entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.touch(0o600)
    draft.write_text(json.dumps(present, indent=2) + "\n")
    draft.replace(path)
