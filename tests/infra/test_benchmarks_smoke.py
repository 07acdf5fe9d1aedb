"""The benchmarks' own arithmetic, reading and writing; the measurements themselves are `make bench`."""

import re
from pathlib import Path

import httpx2
import pytest
from fastmcp.utilities.asgi_transport import run_asgi_lifespan

from tests.benchmarks.__main__ import missed
from tests.benchmarks.benchmark import Benchmark, Run
from tests.benchmarks.collection import read_collection
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.plots import draw
from tests.benchmarks.quality import ndcg, recall
from tests.benchmarks.registry import BENCHMARKS
from tests.benchmarks.report import load_results, update
from tests.benchmarks.requests import ERAS, Era, structured, tool_call
from tests.benchmarks.result import Bars, Result, Table, Target, percentile
from tests.benchmarks.stack_server import bare_app

BARS = Bars(title="Speed", axis="1/s", groups=["one", "two"], series={"ours": [1, 2], "theirs": [2, 1]})


def result(value: str, measured: float = 1.0) -> Result:
    target = Target(what="cost", measured=measured, limit=1.0, unit="ms")
    return Result(tables=[Table(title="Values", columns=["value"], rows=[[value]])], targets=[target], plot=BARS)


def nothing(run: Run) -> Result:
    raise NotImplementedError


KNOWN = {name: Benchmark(name, f"About {name}", "How.", nothing) for name in ("first", "second")}


def test_cranfield_is_read_as_its_judgements_mean_it() -> None:
    collection = read_collection()
    assert [abstract.id for abstract in collection.abstracts] == [str(number) for number in range(1, 1401)]
    assert [abstract.id for abstract in collection.abstracts if not abstract.text] == ["471", "995"]
    assert collection.abstracts[0].title == "experimental investigation of the aerodynamics of a wing in a slipstream ."
    assert list(collection.questions) == list(range(1, 226))
    # The third question of the file calls itself 004.
    assert collection.questions[3].startswith("what problems of heat conduction in composite slabs")
    assert set(collection.judgements) == set(collection.questions)
    assert sum(map(len, collection.judgements.values())) == 1837
    assert collection.judgements[1]["184"] == 3
    assert {gain for gains in collection.judgements.values() for gain in gains.values()} == {1, 2, 3, 4}


def test_quality_by_hand() -> None:
    gains = {"a": 3.0, "b": 2.0, "c": 1.0}
    # Found: 2 / log2(2) + 3 / log2(4) = 3.5; ideal: 3 / log2(2) + 2 / log2(3) + 1 / log2(4) = 4.76186.
    assert ndcg(["b", "x", "a"], gains) == pytest.approx(3.5 / 4.76186, abs=1e-5)
    assert ndcg(["a", "b", "c"], gains) == 1
    assert ndcg(["x"] * 10 + ["a"], gains) == 0
    assert recall(["b", "x", "a"], gains) == pytest.approx(2 / 3)
    assert recall(["x", "a"], gains, depth=1) == 0


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([7.0], 0.5)) == (50, 99, 7)


def test_a_rerun_replaces_its_own_section_only(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    update({"first": result("old one"), "second": result("old two")}, KNOWN, results, tmp_path)
    update({"first": result("new one", measured=2.0)}, KNOWN, results, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "new one" in page and "old two" in page and "old one" not in page
    assert page.index("## About first") < page.index("## About second")
    assert "| cost | at most 1 ms | 2 ms | **missed** |" in page and "| cost | at most 1 ms | 1 ms | met |" in page
    assert (tmp_path / "images" / "bench-first.svg").exists() and "images/bench-first.svg" in page
    assert missed(load_results(results)) == ["first: cost: 2 ms, promised at most 1 ms"]


def test_a_plot_changes_with_its_numbers_only(tmp_path: Path) -> None:
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    draw(BARS, one)
    draw(BARS, two)
    assert one.read_bytes() == two.read_bytes()
    assert b"dc:date" not in one.read_bytes() and b"Speed" in one.read_bytes()


def test_the_machine_is_described_without_its_name() -> None:
    assert re.fullmatch(r"\d+ cores, \w+, Python 3\.\d+(, [a-z]+ [\w.]+)+", describe_machine())


def test_every_benchmark_says_what_it_measures() -> None:
    assert "stack" in BENCHMARKS
    assert all(benchmark.title and benchmark.about for benchmark in BENCHMARKS.values())


@pytest.mark.parametrize("era", ERAS)
async def test_ready_made_requests_are_real_calls(era: Era) -> None:
    app = bare_app(tools=2)
    headers, body = tool_call(era, "echo", {"text": "hello"})
    async with run_asgi_lifespan(app), httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as client:
        answer = await client.post("http://127.0.0.1:8001/mcp", content=body, headers=headers)
    assert answer.status_code == 200
    assert structured(answer.content) == {"result": "hello"}
    assert answer.headers["content-type"].startswith("application/json") == (era == "modern")
