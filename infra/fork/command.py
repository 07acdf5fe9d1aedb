"""`triptych fork`: a vertical and its base as a project of its own, and later changes of the base merged into it."""

import subprocess
import time
from pathlib import Path
from typing import Annotated

import typer

from common.errors import InvalidInput

app = typer.Typer()
ROOT = Path(__file__).parents[2]


@app.command(
    epilog="Examples: triptych fork knowledge_base ../acme-docs --name acme_docs; triptych fork --update ../acme-docs"
)
def fork(
    vertical: Annotated[str | None, typer.Argument(help="knowledge_base, devops or support_hub")] = None,
    folder: Annotated[Path | None, typer.Argument(help="where to; new or empty")] = None,
    name: Annotated[str | None, typer.Option(help="package of the fork; default: the folder's name")] = None,
    update: Annotated[Path | None, typer.Option(help="a fork: merge into it what changed in the base since")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be written, and write nothing")] = False,
) -> None:
    """Make a vertical your own project: its code, its part of the base, tests, docs and deployment, under your name."""
    if update is not None:
        from infra.fork.update import update_fork

        if vertical or folder or name:
            raise InvalidInput("--update takes a fork and nothing else.", "Leave out the rest.")
        raise typer.Exit(update_fork(ROOT, update, dry_run))
    if vertical is None or folder is None:
        raise InvalidInput("A vertical and a folder are needed.", "`triptych fork --help` has an example.")
    make_fork(ROOT, vertical.replace("-", "_"), folder, name, dry_run)


def make_fork(root: Path, vertical: str, folder: Path, name: str | None, dry_run: bool) -> None:
    """Write a fork into a folder. Raises InvalidInput if something is there already, or the name cannot be used."""
    from infra.fork.names import Names, checked
    from infra.fork.selection import Manifest
    from infra.fork.write import find_ruff, formatted, render, write

    started = time.monotonic()
    manifest = Manifest.read(root, vertical)
    names = Names(vertical, manifest.server, checked(name or folder.absolute().name.replace("-", "_")))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is not empty.", "Give a new or an empty folder; nothing is written over.")
    files = render(root, manifest, names, head(root))
    if dry_run:
        for path, content in files.items():
            typer.echo(f"{len(content):>9,}  {path}")
        typer.echo(f"{len(files)} files; nothing was written.", err=True)
        return
    write(formatted(files), folder)
    _say(root, folder, len(files), time.monotonic() - started, find_ruff() is not None)


def _say(root: Path, folder: Path, count: int, seconds: float, in_order: bool) -> None:
    typer.echo(f"{count} files in {folder} ({seconds:.1f} s). Next: cd {folder} && git init && make demo", err=True)
    if not head(root):
        typer.echo("This is no git checkout, so the fork cannot be updated later.", err=True)
    elif changed(root):
        typer.echo("Changes that are not committed here are part of the fork.", err=True)
    if not in_order:
        typer.echo("ruff was not found: run `make format` in the fork once.", err=True)


def head(root: Path) -> str:
    """The commit that is checked out; empty without git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)  # noqa: S607
    return done.stdout.strip() if done.returncode == 0 else ""


def changed(root: Path) -> bool:
    """Whether tracked files differ from the commit."""
    done = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=root, capture_output=True, text=True)  # noqa: S607
    return bool(done.stdout.strip())
