"""What a domain that is down or ill costs the calls of another one, measured in turns with and without it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from infra.demo.servers import free_port
from tests.benchmarks.gateway_measure import start_domain, start_gateway
from tests.benchmarks.load import drive
from tests.benchmarks.stack_measure import Server, warm

ILLNESSES = ("refused", "hung", "dripping", "garbage")
ENVIRONMENT = {"GATEWAY_LIMITS": json.dumps({illness: {"seconds": 2} for illness in ILLNESSES})}


@contextlib.contextmanager
def _started(*arguments: str) -> Iterator[str]:
    """A process of `gateway_ill`; yields the line that it prints."""
    command = [sys.executable, "-m", "tests.benchmarks.gateway_ill", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline()
    finally:
        process.kill()
        process.wait(20)


@contextlib.contextmanager
def site(folder: Path) -> Iterator[Server]:
    """A gateway in front of one domain that is well, and of one for each illness."""
    with contextlib.ExitStack() as stack:
        urls = json.loads(stack.enter_context(_started("serve")))
        urls["refused"] = f"http://127.0.0.1:{free_port(0)}"
        domain = start_domain(folder)
        stack.callback(domain.process.wait, 30)
        stack.callback(domain.process.terminate)
        domains = {illness: [f"{url}/mcp"] for illness, url in urls.items()}
        domains["kb"] = [f"http://127.0.0.1:{domain.port}/mcp"]
        gateway = start_gateway(folder, domains, domain.keys, ENVIRONMENT)
        stack.callback(gateway.process.wait, 30)
        stack.callback(gateway.process.terminate)
        warm(gateway)
        yield gateway


def isolation(
    folder: Path, rounds: int, seconds: float, progress: Callable[[int], None]
) -> dict[str, tuple[int, float, float, float]]:
    """By illness: calls of the domain that is well, their p50 without and with it in ms, and the median of the ratio.

    Raises RuntimeError if one of these calls failed.
    """
    found: dict[str, list[tuple[int, float, float]]] = {illness: [] for illness in ILLNESSES}
    with site(folder) as gateway:
        requests = gateway.requests("modern", 2)
        for done in range(rounds):
            for place, illness in enumerate(ILLNESSES):
                alone = drive(gateway.port, requests, seconds)
                tool = f"{illness}_echo"
                with _started("call", str(gateway.port), gateway.keys[-1], tool):
                    beside = drive(gateway.port, requests, seconds)
                found[illness].append((beside.calls, alone.milliseconds(0.5), beside.milliseconds(0.5)))
                progress(done * len(ILLNESSES) + place + 1)
    return {
        illness: (
            sum(calls for calls, _, _ in each),
            median(alone for _, alone, _ in each),
            median(beside for _, _, beside in each),
            median(beside / alone for _, alone, beside in each),
        )
        for illness, each in found.items()
    }
