"""`triptych evals --profile`: the same questions to several profiles, and where they cite something else."""

import asyncio
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from rich.console import Console
from rich.markup import escape

from common.errors import InvalidInput
from common.evals import Evals, Report
from common.tour import Stage
from common.vertical import Vertical
from infra.cli.verticals import load_vertical
from infra.demo.servers import running, wait_ready
from infra.evals import asked_server, report_of, serving, show

Profile = Literal["embedded", "production", "gateway"]
SAME_AT_LEAST = 0.95
"""Share of the answers whose first citation is that of the first profile."""
SHOWN = 20
Reports = Mapping[str, Report]


@dataclass(frozen=True)
class Difference:
    """An answer that cites something else than that of the first profile."""

    profile: str
    asked: str
    expected: Sequence[str]
    found: Sequence[str]


def run_profiles(
    verticals: Sequence[Vertical], profiles: Sequence[Profile], as_json: bool, url: str | None, keys: Path | None
) -> bool:
    """Ask each profile, print, and say whether all reached every score and cite the same."""
    asked = {vertical.name: vertical.evals() for vertical in verticals if vertical.evals}
    console = Console(stderr=as_json)
    found: dict[str, Reports] = {}
    with _stages(asked, profiles, url, keys, console) as stages:
        for profile in profiles:
            each = stages[profile]
            found[profile] = {name: asyncio.run(report_of(evals, each[name], None)) for name, evals in asked.items()}
    other = differences(found, profiles)
    share = same_share(found, profiles, other)
    if as_json:
        reports = {profile: {name: asdict(report) for name, report in each.items()} for profile, each in found.items()}
        document = {"profiles": reports, "same": share, "differences": [asdict(each) for each in other]}
        print(json.dumps(document, indent=2, ensure_ascii=False))  # noqa: T201 - the command's output
    else:
        _print(console, found, other, share)
    passed = all(report.passed for reports in found.values() for report in reports.values())
    return passed and share >= SAME_AT_LEAST


@contextmanager
def _stages(
    asked: Mapping[str, Evals], profiles: Sequence[Profile], url: str | None, keys: Path | None, console: Console
) -> Iterator[Mapping[str, Mapping[str, Stage]]]:
    """Production is the server at --url; the others are served here, from the demo company."""
    found: dict[str, Mapping[str, Stage]] = {}
    if "production" in profiles:
        if url is None:
            raise InvalidInput("production is a running server.", "Give its --url and --keys; it has the demo company.")
        found["production"] = asked_server(asked, url, keys)
    if not {"embedded", "gateway"} & set(profiles):
        yield found
        return
    _embed(asked)
    with tempfile.TemporaryDirectory(prefix="triptych-evals-") as folder, serving(asked, folder, console) as stages:
        found["embedded"] = stages
        if "gateway" not in profiles:
            yield found
            return
        with _gateway(stages, Path(folder)) as through:
            yield {**found, "gateway": through}


@contextmanager
def _gateway(stages: Mapping[str, Stage], folder: Path) -> Iterator[Mapping[str, Stage]]:
    prefixes = {name: load_vertical(name).prefix for name in stages}
    domains = {prefixes[name]: [f"{stage.url}/mcp"] for name, stage in stages.items()}
    os.environ[f"{_settings_of('gateway')}DOMAINS"] = json.dumps(domains)
    with running([("gateway", 0)], folder) as [gateway]:
        wait_ready(gateway)
        yield {name: Stage(gateway.url, stage.tokens, prefix=f"{prefixes[name]}_") for name, stage in stages.items()}


def _embed(verticals: Iterable[str]) -> None:
    """Without settings of their own they use what is embedded."""
    own = tuple(map(_settings_of, verticals))
    for name in [name for name in os.environ if name.startswith(own)]:
        del os.environ[name]


def _settings_of(vertical: str) -> str:
    return str(load_vertical(vertical).settings.model_config.get("env_prefix"))


def differences(found: Mapping[str, Reports], profiles: Sequence[Profile]) -> list[Difference]:
    """What the other profiles cite differently from the first one."""
    first, *others = profiles
    return [
        Difference(profile, asked, expected, other)
        for profile in others
        for name, report in found[first].items()
        for asked, expected in report.citations.items()
        if (other := found[profile][name].citations.get(asked, [])) != expected
    ]


def same_share(found: Mapping[str, Reports], profiles: Sequence[Profile], different: Sequence[Difference]) -> float:
    """Of the answers, those with the same first citation."""
    answers = sum(len(report.citations) for report in found[profiles[0]].values()) * (len(profiles) - 1)
    other = sum(list(each.expected[:1]) != list(each.found[:1]) for each in different)
    return 1 - other / answers if answers else 1.0


def _print(console: Console, found: Mapping[str, Reports], other: Sequence[Difference], share: float) -> None:
    for profile, reports in found.items():
        for name, report in reports.items():
            show(console, f"{profile}, {name}", report)
    for each in other[:SHOWN]:
        console.print(f"[cyan]{escape(each.asked)}[/cyan]\n  {each.profile}: {', '.join(each.found) or 'nothing'}")
        console.print(f"  instead of {', '.join(each.expected) or 'nothing'}", soft_wrap=True)
    if len(other) > SHOWN:
        console.print(f"... and {len(other) - SHOWN} more (--json has all)")
    console.print(f"{len(other)} answers differ within the first three; {share:.1%} have the same first citation.")


def profiles_from(text: str) -> list[Profile]:
    """Names with commas in between. Raises InvalidInput."""
    known: tuple[Profile, ...] = get_args(Profile)
    names = [name.strip() for name in text.split(",") if name.strip()]
    chosen: list[Profile] = [name for name in known if name in names]
    if not names or len(chosen) != len(names):
        raise InvalidInput(f"{text[:100]!r} names no profiles.", f"Write some of {', '.join(known)}, with commas.")
    return chosen
