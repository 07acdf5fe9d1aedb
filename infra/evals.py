"""`triptych evals`: asks the verticals' questions, scores the answers, and says what was missed."""

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.ask import Answer, ask, model_api
from common.ask_tools import Toolbox
from common.errors import InvalidInput
from common.evals import Evals, Miss, ModelQuestion, Report, Score, holds
from common.people import create_keys
from common.settings import CommonSettings, load_settings
from common.tour import Stage
from common.vertical import Vertical
from infra.cli.verticals import load_part
from infra.demo.servers import running, wait_ready

INDEX_SECONDS = 900.0


def run_evals(
    verticals: Sequence[Vertical], as_json: bool, model: str | None, url: str | None, keys: Path | None
) -> bool:
    """Ask, print, and say whether every score was reached. Without `url` the demo company is served for the purpose."""
    # Ended from outside, it still stops its servers and removes its folder.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = {vertical.name: vertical.evals() for vertical in verticals if vertical.evals}
    console = Console(stderr=as_json)
    with _stages(asked, url, keys, console) as stages:
        reports = {name: asyncio.run(report_of(evals, stages[name], model)) for name, evals in asked.items()}
    if as_json:
        document = {name: {**asdict(report), "passed": report.passed} for name, report in reports.items()}
        print(json.dumps(document, indent=2, ensure_ascii=False))  # noqa: T201 - the command's output
    else:
        for name, report in reports.items():
            show(console, name, report)
    return all(report.passed for report in reports.values())


def asked_server(asked: Mapping[str, Evals], url: str, keys: Path | None) -> Mapping[str, Stage]:
    """A server that runs already. Raises InvalidInput."""
    if len(asked) != 1 or keys is None:
        raise InvalidInput("A running server is one vertical.", "Give --vertical, and --keys for --url.")
    return {name: Stage(url.rstrip("/").removesuffix("/mcp"), _tokens(keys)) for name in asked}


@contextmanager
def _stages(
    asked: Mapping[str, Evals], url: str | None, keys: Path | None, console: Console
) -> Iterator[Mapping[str, Stage]]:
    if url is not None:
        yield asked_server(asked, url, keys)
        return
    with tempfile.TemporaryDirectory(prefix="triptych-evals-") as folder, serving(asked, folder, console) as stages:
        yield stages


def _tokens(keys: Path) -> dict[str, str]:
    try:
        tokens = json.loads(keys.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{keys} cannot be used: {error}", 'It holds {"alice": "tk_...", ...}.') from None
    if not isinstance(tokens, dict) or not all(isinstance(each, str) for each in tokens.values()):
        raise InvalidInput(f"{keys} names no keys.", 'It holds {"alice": "tk_...", ...}.')
    return tokens


@contextmanager
def serving(asked: Mapping[str, Evals], folder: str, console: Console) -> Iterator[Mapping[str, Stage]]:
    """The demo company behind real servers in a folder of their own."""
    os.environ |= {
        "TRIPTYCH_DATA_DIR": folder,
        "TRIPTYCH_RATE_LIMIT_PER_SECOND": "1000",
        "TRIPTYCH_RATE_LIMIT_BURST": "1000",
    }
    settings = load_settings(CommonSettings)
    people = {person.name: person for evals in asked.values() for person in evals.people}
    tokens = asyncio.run(create_keys(settings, list(people.values())))
    parts = {name: load_part(name) for name in asked}
    with ExitStack() as stack:
        for part in parts.values():
            os.environ |= {**part.settings, **stack.enter_context(part.beside(Path(folder)))}
        servers = stack.enter_context(running([(name, 0) for name in asked], Path(folder)))
        with console.status("serving the demo company ..."):
            for server in servers:
                wait_ready(server)
            for part in parts.values():
                asyncio.run(part.hand_in(settings))
                asyncio.run(part.wait(settings, INDEX_SECONDS))
        yield {server.name: Stage(server.url, tokens) for server in servers}


async def report_of(evals: Evals, stage: Stage, model: str | None) -> Report:
    report = await evals.ask(stage)
    if model is None:
        return report
    score, misses = await _ask_model(evals, stage, model)
    return Report([*report.scores, *score], [*report.misses, *misses], report.citations)


async def _ask_model(evals: Evals, stage: Stage, model: str) -> tuple[list[Score], list[Miss]]:
    # What nobody was asked is not passed.
    seen: dict[str, list[bool]] = {"facts": []}
    misses = []
    async with model_api() as api:
        for question in evals.model_questions:
            if question.person not in stage.tokens:
                continue
            answer = await _answer(api, model, evals.prompt, stage, question)
            why = []
            for name, parts in _looked_at(question, answer):
                seen.setdefault(name, []).extend(parts.values())
                why += [miss for miss, good in parts.items() if not good]
            if why:
                misses.append(Miss(question.person, question.question, f"{model}: {'; '.join(why)}"))
    return [_share(f"model: {name}", values, evals.model_at_least) for name, values in seen.items()], misses


def _looked_at(question: ModelQuestion, answer: Answer) -> Iterator[tuple[str, dict[str, bool]]]:
    """What is looked at, and each part of it as a miss that it may be, with whether it is there."""
    yield "facts", {f"does not say {fact!r}": holds(answer.text, fact) for fact in question.facts}
    if question.source:
        named = [answer.text, *(source.name for source in answer.sources)]
        yield "cites the document", {f"cites no {question.source}": any(question.source in each for each in named)}
    if question.tools:
        called = any(use.ok and use.name in question.tools for use in answer.calls)
        yield "calls a tool that answers", {f"calls none of {', '.join(question.tools)}": called}


def _share(name: str, seen: Sequence[bool], at_least: float) -> Score:
    return Score(name, sum(seen) / len(seen) if seen else 0.0, len(seen), at_least)


async def _answer(api: Any, model: str, prompt: str | None, stage: Stage, question: ModelQuestion) -> Answer:
    async with stage.client(question.person) as client:
        messages = [{"role": "user", "content": question.question}]
        if prompt is not None:
            given = await client.get_prompt(prompt, {"question": question.question})
            messages = [{"role": each.role, "content": each.content.text} for each in given.messages]
        return await ask(api, model, Toolbox({"server": client}), messages)


def show(console: Console, name: str, report: Report) -> None:
    table = Table(
        "score", "value", "must be", "of", "", title=f"{name}: {len(report.misses)} misses", title_justify="left"
    )
    for score in report.scores:
        wanted = f"at least {score.at_least:g}" if score.at_least is not None else f"at most {score.at_most or 0:g}"
        mark = "[green]✓[/green]" if score.passed else "[bold red]✗[/bold red]"
        value = f"{score.value:.3f}" if score.at_least is not None else f"{score.value:g}"
        table.add_row(score.name, value, wanted, str(score.asked), mark)
    for miss in sorted(report.misses, key=lambda miss: (miss.question, miss.person)):
        console.print(
            f"[cyan]{escape(miss.person)}[/cyan] {escape(miss.question)}\n  {escape(miss.why)}", soft_wrap=True
        )
    console.print(table)
