"""The overview: health, numbers, quantiles."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.console.overview import duration
from common.console.plot import WIDTH, Row, position
from common.console.templating import milliseconds, percent, when
from common.observability.metrics import Latency
from tests.common.console.console_site import Site, console_site, sign_in


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with console_site(tmp_path) as site:
        yield site


async def overview(site: Site) -> str:
    browser = await site.signed_in(site.key("ada", "user"))
    return re.sub(r"\s+", " ", (await browser.get("/console")).text)


def tile(page: str, name: str) -> str:
    found = re.search(rf"<dt>{name}</dt><dd>(.*?)</dd>", page)
    assert found
    return found[1]


async def test_before_the_first_call_it_says_how_to_connect(site: Site) -> None:
    page = await overview(site)
    assert "No calls yet" in page
    assert "claude mcp add --transport http small http://127.0.0.1:8001/mcp --header" in page
    assert "embedded profile" in page


async def test_calls_are_counted_by_action_with_errors_and_quantiles(site: Site) -> None:
    token = site.key("ada", "user")
    for text in "abc":
        await site.call(token, "echo", text=text)
    await site.call(token, "fail", how="conflict")
    await sign_in(site.browser(), "wrong")
    page = await overview(site)
    assert (tile(page, "Calls"), tile(page, "Error rate"), tile(page, "Failed sign-ins")) == ("4", "25 %", "1")
    rows = re.findall(r'<th scope="row">(\w+)</th> <td[^>]*>(\d+)</td> <td[^>]*><span class="(\w+)">(.*?)<', page)
    assert rows == [("echo", "3", "quiet", "0 %"), ("fail", "1", "bad", "100 %")]
    assert "No calls yet" not in page
    assert page.count("<circle") == 3  # two rows and the legend


async def test_a_dependency_that_is_down_is_named(site: Site) -> None:
    async def broken() -> None:
        raise RuntimeError("connection refused at 10.1.2.3")

    site.runtime.health.critical["catalog"] = broken
    site.runtime.health.optional["redis"] = broken
    page = await overview(site)
    assert '<span class="badge bad">Not ready</span>' in page
    assert '<span class="badge bad">failed</span> catalog' in page
    assert '<span class="badge warn">failed</span> redis <small>optional</small>' in page
    assert "10.1.2.3" not in page


def test_quantiles_lie_on_a_logarithmic_scale() -> None:
    assert position(1) == position(0.1) == 0
    assert position(60_000) == position(10**9) == WIDTH
    assert position(100) == pytest.approx(2 * position(10), abs=0.1)
    row = Row(Latency("search", 100, 2, 10.0, 100.0, 1000.0))
    assert row.to95 == pytest.approx(row.to99, abs=0.2)
    assert row.tone == "warn"


@pytest.mark.parametrize(
    ("seconds", "text"), [(9, "0 min 9 s"), (250.7, "4 min 10 s"), (11_520, "3 h 12 min"), (187_300, "2 d 4 h")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_keep_what_matters() -> None:
    assert [milliseconds(value) for value in (None, 0.423, 3.81, 120.2, 4200)] == ["–", "0.42", "3.8", "120", "4,200"]
    assert [percent(value) for value in (0, 0.0004, 0.004, 0.12, 1)] == ["0 %", "< 0.1 %", "0.4 %", "12 %", "100 %"]
    assert when("2026-11-23T03:00:00.123456+01:00") == "2026-11-23 02:00:00.123"
    assert when("not a time") == "not a time"
