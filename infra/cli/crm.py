"""`triptych crm`: the simulated CRM servers."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def crm(
    port_base: Annotated[int, typer.Option(help="first of three ports in a row; 0: free ones", min=0, max=65533)] = 0,
    data_dir: Annotated[Path | None, typer.Option(help="writes ground-truth.jsonl and the JWT key there")] = None,
    latency: Annotated[float, typer.Option(help="seconds that each answer takes longer", min=0, max=60)] = 0.0,
    jitter: Annotated[float, typer.Option(help="up to so many seconds more", min=0, max=60)] = 0.0,
) -> None:
    """Run simulated Salesforce, HubSpot and Zendesk servers with seed data until Ctrl-C.

    Prints one JSON line with their URLs on 127.0.0.1 and credentials, made anew for each run. Nothing of it is real:
    state is in memory, and each answer says `X-Simulated: true`.

    Faults: PUT a list such as [{"kind": "rate_limit", "count": 3}] to URL/__control/faults. See docs/crm-simulators.md.

    Example: triptych crm --port-base 8010 --latency 0.05
    """
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(port_base, data_dir, latency, jitter))


async def _run(port_base: int, data_dir: Path | None, latency: float, jitter: float) -> None:
    from infra.crm.faults import Fault
    from infra.crm.launch import announcement, listening, make_suite

    suite = make_suite()
    key_file = _write(data_dir, suite.private_key) if data_dir else None
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with listening(suite, port_base) as simulators:
        if latency or jitter:
            for simulator in simulators.values():
                simulator.switch.set([Fault(kind="latency", seconds=latency, jitter=jitter)])
        typer.echo(json.dumps(announcement(suite, simulators, key_file)))
        await stop.wait()


def _write(data_dir: Path, private_key: str) -> Path:
    """The ground truth, and the key that only its owner may read."""
    from infra.crm.seed.truth import write_truth
    from infra.crm.seed.world import make_world

    data_dir.mkdir(parents=True, exist_ok=True)
    write_truth(make_world(), data_dir / "ground-truth.jsonl")
    path = data_dir / "salesforce-jwt.pem"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(private_key)
    return path
