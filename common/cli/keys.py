"""`triptych keys`: API keys with owner, rights and expiry."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from common.cli.signing_keys import rotate_signing, signing
from common.security.api_key_stores import ApiKeys, opened_api_keys
from common.security.api_keys import ApiKey
from common.security.audit_command import audited_command
from common.settings import Classification, CommonSettings, load_settings

app = typer.Typer(
    no_args_is_help=True, help="API keys: create, list, rotate, revoke (only hashes are stored), and the signing keys."
)
T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="print JSON, for scripts")]


def _all() -> list[ApiKey]:
    async def read() -> list[ApiKey]:
        async with opened_api_keys(load_settings(CommonSettings)) as keys:
            return await keys.all()

    return asyncio.run(read())


def _audited(command: str, tenant: str, change: Callable[[ApiKeys], Awaitable[T]], **detail: object) -> T:
    """Make a change to the keys between its two audit records."""
    settings = load_settings(CommonSettings)

    async def run() -> T:
        async with (
            opened_api_keys(settings) as keys,
            audited_command(settings, f"cli:keys {command}", tenant, **detail) as found,
        ):
            result = await change(keys)
            key = result[0] if isinstance(result, tuple) else result
            found |= {"id": getattr(key, "id", "")}
            return result

    return asyncio.run(run())


def _show_new(key: ApiKey, token: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"key": token, **_public(key)}))
        return
    typer.echo(token)
    typer.echo(
        f"Key {key.id} of {key.owner}, until {_day(key.expires)}. It is shown this once: keep it safe.", err=True
    )


def _public(key: ApiKey) -> dict[str, object]:
    return {**key.model_dump(exclude={"hash", "revoked"}), "state": key.state}


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


@app.command()
def create(
    owner: Annotated[str, typer.Option(help="whose key it is: the subject of every call made with it")],
    tenant: Annotated[str, typer.Option(help="whose documents it reaches")] = "local",
    role: Annotated[list[str], typer.Option(help="user, editor, auditor, admin, ...; may be repeated")] = ["user"],  # noqa: B006
    group: Annotated[list[str], typer.Option(help="group of the owner; may be repeated")] = [],  # noqa: B006
    clearance: Annotated[Classification, typer.Option(help="highest classification it reads")] = "internal",
    days: Annotated[float, typer.Option(help="days until it expires", min=0.001, max=3660)] = 90,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it once.

    Example: triptych keys create --owner alice --role editor --group engineering --clearance confidential
    """
    rights = {"owner": owner, "roles": role, "groups": group, "clearance": clearance}
    made = _audited("create", tenant, lambda store: store.create(owner, tenant, role, group, clearance, days), **rights)
    _show_new(*made, as_json)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """Show all keys with their rights and state; never the secrets."""
    keys = _all()
    if as_json:
        typer.echo(json.dumps([_public(key) for key in keys]))
        return
    table = Table("id", "owner", "tenant", "roles", "groups", "clearance", "expires", "state")
    for key in keys:
        rights = (key.tenant, ", ".join(key.roles), ", ".join(key.groups), key.clearance)
        table.add_row(key.id, key.owner, *rights, _day(key.expires), key.state)
    Console().print(table if keys else "There are no keys yet: `triptych keys create --owner NAME` makes one.")


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="id, as `keys list` shows it")],
    overlap_hours: Annotated[float, typer.Option(help="how long the old key still works", min=0)] = 24,
    as_json: AsJson = False,
) -> None:
    """Make a successor with the same rights; the old key ends after the overlap."""
    made = _audited("rotate", "", lambda store: store.rotate(key_id, overlap_hours), id=key_id)
    _show_new(*made, as_json)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="id, as `keys list` shows it")], as_json: AsJson = False) -> None:
    """Refuse a key from the next call on, in every process."""
    key = _audited("revoke", "", lambda store: store.revoke(key_id), id=key_id)
    typer.echo(json.dumps(_public(key)) if as_json else f"Key {key.id} of {key.owner} is revoked.")


app.command()(signing)
app.command()(rotate_signing)
