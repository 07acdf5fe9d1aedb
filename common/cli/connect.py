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


def configuration(client: McpClient, name: str, url: str, key: str) -> dict[str, Any]:
    """The client's configuration for one server."""
    headers = {"Authorization": f"Bearer {key}"}
    if client is McpClient.vscode:
        return {"servers": {name: {"type": "http", "url": url, "headers": headers}}}
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
        str, typer.Option(envvar="TRIPTYCH_API_KEY", help="API key; better in a variable than in a file")
    ] = "${TRIPTYCH_API_KEY}",
    write: Annotated[bool, typer.Option("--write", help="merge it into this project's configuration file")] = False,
) -> None:
    """Print the configuration that connects a client, or write it into this folder."""
    document = configuration(client, name, url, key)
    if not write:
        if client is McpClient.claude_code:
            typer.echo(command_line(name, url, key), err=True)
        typer.echo(json.dumps(document, indent=2))
        return
    if client not in PROJECT_FILES:
        raise InvalidInput(f"{client} has no file in a project.", "Leave out --write, and paste what is printed.")
    path = Path(PROJECT_FILES[client])
    _merge(path, document)
    typer.echo(f"Wrote {path}. Restart the client to see the tools.")


def _merge(path: Path, document: dict[str, Any]) -> None:
    try:
        present = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:
        raise InvalidInput(f"{path} is not JSON, so nothing was changed.", "Mend it, or move it away.") from None
    for section, servers in document.items():
        present[section] = {**present.get(section, {}), **servers}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.touch(0o600)
    draft.write_text(json.dumps(present, indent=2) + "\n")
    draft.replace(path)
