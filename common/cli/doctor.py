"""`triptych doctor`: checks settings and backends, and says what to do about each failure."""

import asyncio
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.markup import escape

from common.databases import create_engine
from common.security.api_key_stores import are_in_database, opened_api_keys
from common.security.audit import audit_database_url, checkpoint_path, verify
from common.security.signing import load_signing_key
from common.settings import CommonSettings, load_settings
from common.vertical import Check, Vertical

DEADLINE_SECONDS = 20.0


async def _data_dir(settings: CommonSettings) -> str:
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    probe = settings.data_dir / ".doctor"
    probe.write_text("")
    probe.unlink()
    return f"{settings.data_dir.absolute()} can be written"


async def _signing_key(settings: CommonSettings) -> str:
    load_signing_key(settings)
    return "there"


async def _api_keys(settings: CommonSettings) -> str:
    async with opened_api_keys(settings) as keys:
        active = [key for key in await keys.all() if key.state == "active"]
    if not active and settings.oauth_issuer is None:
        raise RuntimeError("nobody can sign in: `triptych keys create --owner NAME` makes a key")
    return f"{len(active)} active, in {'the database' if are_in_database(settings) else 'a file'}"


async def _audit(settings: CommonSettings) -> str:
    engine = create_engine(audit_database_url(settings), settings.ca_file, follow=settings.follow("database_url"))
    try:
        report = await verify(engine, load_signing_key(settings), checkpoint_path(settings))
    finally:
        await engine.dispose()
    if report.problems:
        raise RuntimeError("the log is damaged: `triptych audit verify` names the first bad record")
    return f"{report.records} records, intact"


COMMON = (
    Check("data folder", _data_dir),
    Check("signing key", _signing_key),
    Check("API keys", _api_keys),
    Check("audit log", _audit),
)


async def _run(check: Check, settings: CommonSettings, console: Console) -> bool:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            found = await check.run(settings)
    except TimeoutError:
        found, ok = f"no answer within {DEADLINE_SECONDS:.0f} s", False
    except Exception as error:
        found, ok = str(error) or type(error).__name__, False
    else:
        ok = True
    mark = "[green]ok  [/green]" if ok else "[bold red]fail[/bold red]"
    console.print(f"{mark} {escape(check.name):<32} {escape(found)}", soft_wrap=True)
    return ok


def examine(verticals: Sequence[Vertical]) -> None:
    """Run every check; exit 1 if one fails."""
    console = Console()
    settings = load_settings(CommonSettings)
    checks = list(COMMON)
    for vertical in verticals:
        load_settings(vertical.settings)
        checks += [Check(f"{vertical.name}: {check.name}", check.run) for check in vertical.checks]
    console.print(f"settings: profile {settings.profile}, all known and well-formed")

    async def run() -> list[bool]:
        return [await _run(check, settings, console) for check in checks]

    if not all(asyncio.run(run())):
        raise typer.Exit(1)
