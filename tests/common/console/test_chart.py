"""Drawings of values over time: scales, gaps, and what is said to those who do not see them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.console.chart import BOTTOM, HEIGHT, LEFT, MOST_LINES, RIGHT, TOP, WIDTH, binary_up, chart, round_up

POINTS = st.lists(
    st.tuples(st.floats(0, 3600), st.floats(0, 1e12, allow_subnormal=False)),
    max_size=30,
    unique_by=lambda each: each[0],
).map(sorted)


@given(st.lists(POINTS, max_size=9))
def test_every_value_is_inside_the_drawing(series: list[list[tuple[float, float]]]) -> None:
    drawn = chart("x", [(str(number), points) for number, points in enumerate(series)], 0, 3600)
    filled = sum(bool(points) for points in series)
    assert len(drawn.lines) == min(filled, MOST_LINES) and drawn.hidden == filled - len(drawn.lines)
    for line in drawn.lines:
        places = re.findall(r"[ML]([\d.]+) ([\d.]+)", line.path)
        assert places and all(LEFT <= float(x) <= WIDTH - RIGHT for x, _ in places)
        assert all(TOP <= float(y) <= HEIGHT - BOTTOM for _, y in places)


@given(st.floats(1e-6, 1e15))
def test_the_top_of_the_scale_is_above_and_near(value: float) -> None:
    assert value * 0.999 <= round_up(value) <= value * 5
    assert value * 0.999 <= binary_up(value) <= value * 5


@pytest.mark.parametrize(("value", "top"), [(0, 1), (0.3, 0.5), (7, 10), (90, 100), (101, 200)])
def test_scales_are_round(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


def test_a_line_is_interrupted_where_values_are_missing() -> None:
    drawn = chart("x", [("a", [(0, 1), (60, 2), (120, 1), (900, 3)])], 0, 3600)
    assert drawn.lines[0].path.count("M") == 2 and drawn.lines[0].path.count("L") == 2


def test_it_says_what_it_shows() -> None:
    drawn = chart("Processor", [("low", [(0, 1.0)]), ("high", [(0, 10.0), (60, 90.0)]), ("none", [])], 0, 60)
    assert [line.label for line in drawn.lines] == ["high", "low"] and drawn.lines[0].last == "90"
    assert drawn.text == "Processor. high: 10 to 90, now 90; low: 1 to 1, now 1"
    assert [label for _, label in drawn.ticks] == ["0", "50", "100"]
    assert chart("Processor", [], 0, 60).text == "Processor. no values" and not chart("x", [("a", [])], 0, 60).lines
