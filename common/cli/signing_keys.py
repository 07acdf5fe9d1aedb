"""`triptych keys signing` and `rotate-signing`: the ring that seals, signs and encrypts."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from common.security.audit_command import audited_command
from common.security.key_ring import KeyRing
from common.security.key_rotation import dropped, rotated
from common.security.ring_storage import ring_storage
from common.security.signing import load_signing_key
from common.settings import CommonSettings, load_settings


def _state(ring: KeyRing) -> list[dict[str, Any]]:
    """Every key by id, without secrets."""
    current = ring.current().id
    keys = [{"id": key.id, "state": "signs" if key.id == current else "verifies"} for key in ring.accepted()]
    return [*keys, *({"id": key.id, "state": "dropped", "at": key.until} for key in ring.retired())]


def signing(as_json: Annotated[bool, typer.Option("--json", help="print JSON, for scripts")] = False) -> None:
    """Show the signing keys: which one signs, which ones still verify, and what was dropped when."""
    found = _state(load_signing_key(load_settings(CommonSettings)))
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("id", "state", "dropped")
    for key in found:
        at = datetime.fromtimestamp(key["at"], UTC).strftime("%Y-%m-%d %H:%M UTC") if "at" in key else ""
        table.add_row(key["id"], key["state"], at)
    Console().print(table)


def rotate_signing(
    drop: Annotated[str | None, typer.Option(help="id of an old key that verifies nothing any more")] = None,
    force: Annotated[bool, typer.Option("--force", help="drop it although it may be in use: it has leaked")] = False,
    wait: Annotated[float | None, typer.Option(help="seconds until the new key signs", min=0, max=86400)] = None,
    show: Annotated[bool, typer.Option("--print", help="print the ring, for a plain TRIPTYCH_SIGNING_KEY")] = False,
) -> None:
    """Make a new signing key; old ones verify and open until they are dropped. Servers need no restart.

    It signs and seals confirmations, sessions, development tokens, audit checkpoints and data at rest.
    Later, drop the old key by its id: triptych keys rotate-signing --drop 0123456789ab
    """
    settings = load_settings(CommonSettings)
    storage = ring_storage(settings, typer.echo if show else None)
    seconds = storage.wait_seconds if wait is None else wait
    made: list[str] = []

    def change(text: str) -> str:
        if drop:
            return dropped(text, drop, force)
        new, key_id = rotated(text, seconds)
        made.append(key_id)
        return new

    async def run() -> None:
        what = {"drop": drop, "force": force} if drop else {}
        async with audited_command(settings, "cli:keys rotate-signing", "", **what) as found:
            storage.change(change)
            found |= {"id": drop or made[0]}

    asyncio.run(run())
    if drop:
        typer.echo(f"Key {drop} is dropped. Its audit checkpoints and data at rest can still be read.", err=True)
    else:
        when = f"in {seconds:.0f} s" if seconds else "now"
        typer.echo(f"Key {made[0]} signs {when}; the ones before verify until they are dropped.", err=True)
