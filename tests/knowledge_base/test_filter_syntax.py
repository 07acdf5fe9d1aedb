"""The filter language: what is parsed to what, which mistakes are named how, and what the reference predicate says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput
from knowledge_base.browsing import Sort
from knowledge_base.documents import Metadata
from knowledge_base.filter_syntax import parse_filter, parse_sort
from knowledge_base.filters import All, AnyOf, Exists, Field, Not, OneOf, Range, matches

DOCS = Path(__file__).parents[2] / "docs" / "knowledge-base.md"
YEAR, DEPARTMENT = Field("year"), Field("department")
METADATA: Metadata = {
    "department": "legal",
    "year": 2025,
    "draft": True,
    "tags": ["gdpr", "dpa"],
    "none": [],
    "due": "2026-03-01",
}


@pytest.mark.parametrize(
    ("written", "parsed"),
    [
        ({}, None),
        ({"department": "legal"}, OneOf(DEPARTMENT, ("legal",))),
        ({"year": [2024, 2025]}, OneOf(YEAR, (2024.0, 2025.0))),
        ({"year": {"ne": 2024}}, Not(OneOf(YEAR, (2024.0,)))),
        ({"year": {"range": {"gte": 1, "lt": 3}}}, Range(YEAR, (("gte", 1.0), ("lt", 3.0)))),
        ({"year": {"gte": 1}}, Range(YEAR, (("gte", 1.0),))),
        ({"year": {"exists": False}}, Not(Exists(YEAR))),
        ({"year": 1, "department": "x"}, All((OneOf(YEAR, (1.0,)), OneOf(DEPARTMENT, ("x",))))),
        ({"any": [{"year": 1}, {"not": {"year": 2}}]}, AnyOf((OneOf(YEAR, (1.0,)), Not(OneOf(YEAR, (2.0,)))))),
        ({"metadata.any": True}, OneOf(Field("any"), (True,))),
        ({"title": "x"}, OneOf(Field("title", own=True), ("x",))),
        ({"metadata.title": "x"}, OneOf(Field("title"), ("x",))),
        ({"published_at": {"gte": "1970-01-02"}}, Range(Field("published_at", own=True), (("gte", 86400.0),))),
        ({"classification": "internal"}, OneOf(Field("classification", own=True), (1.0,))),
    ],
)
def test_a_filter_is_parsed(written: dict[str, Any], parsed: object) -> None:
    assert parse_filter(written) == parsed


@pytest.mark.parametrize(
    ("written", "part", "hint"),
    [
        ({"year": {"between": [1, 2]}}, "filters.year.between", "use one of eq"),
        ({"year": {}}, "filters.year ", "use one of eq"),
        ({"year": None}, "filters.year ", "true/false"),
        ({"year": {"in": 3}}, "filters.year.in", "list with at least one"),
        ({"year": []}, "filters.year ", "list with at least one"),
        ({"year": {"range": {"gte": 1, "lt": "2"}}}, "filters.year.range", "all numbers or all text"),
        ({"year": {"range": {"from": 1}}}, "filters.year.range", "gt, gte, lt or lte"),
        ({"year": {"gte": True}}, "filters.year.gte", "all numbers or all text"),
        ({"year": {"exists": "yes"}}, "filters.year.exists", "use one of"),
        ({"any": {"year": 1}}, "filters.any", "list of filters"),
        ({"all": [{"year": 1}, 3]}, "filters.all[1]", "object that names a field"),
        ({"not": []}, "filters.not", "object that names a field"),
        ({"": 1}, "filters. ", "no field name"),
        ({"a\0": 1}, "filters.a", "no field name"),
        ({"a": "\ud800"}, "filters.a", "a value must be"),
        ({"a": "x" * 1001}, "filters.a", "a value must be"),
        ({"a": float("nan")}, "filters.a", "a value must be"),
        ({"a": 10**400}, "filters.a", "a value must be"),
        ({"title": 3}, "filters.title", "a value must be text"),
        ({"published_at": {"gte": "June"}}, "filters.published_at.gte", "2026-06-30"),
        ({"classification": "secret"}, "filters.classification", "confidential"),
    ],
)
def test_a_mistake_is_named_with_the_right_form(written: dict[str, Any], part: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(part)) as error:
        parse_filter(written)
    assert hint in str(error.value)


def test_size_and_depth_are_bounded() -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(5_000):
        deep = {"not": deep}
    for wrong in (deep, {"a": list(range(201))}, {"any": [{"a": 1}] * 201}):
        with pytest.raises(InvalidInput, match="nested more than|more than 200 values"):
            parse_filter(wrong)


WORDS = st.sampled_from(["any", "all", "not", "eq", "ne", "in", "range", "gte", "exists", "title", "x"]) | st.text()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, JSON, max_size=4))
def test_anything_else_is_a_clear_error(written: dict[str, Any]) -> None:
    try:
        parsed = parse_filter(written)
    except InvalidInput as error:
        assert "filter" in error.message and error.hint
    else:
        assert parsed is None or matches(parsed, METADATA, {"title": "x"}) in (True, False)


def truth_table() -> list[tuple[str, bool]]:
    """Rows of the table below the heading `Filters` of the documentation."""
    section = DOCS.read_text().split("## Filters", 1)[1].split("\n## ", 1)[0]
    return [(found[1], found[2] == "yes") for found in re.finditer(r"^\| `(\{.*\})` \| (yes|no) \|", section, re.M)]


def test_the_truth_table_of_the_docs_is_what_the_code_does() -> None:
    document = re.search(r"`(\{.*\})`:\n\n\| Filter", DOCS.read_text())
    assert document is not None and len(truth_table()) >= 20
    for written, found in truth_table():
        parsed = parse_filter(json.loads(written))
        assert parsed is not None and matches(parsed, json.loads(document[1])) is found, written


def test_a_sort_order_is_parsed() -> None:
    assert parse_sort("-published_at") == Sort(Field("published_at", own=True), descending=True)
    assert parse_sort("year") == Sort(YEAR)
    assert parse_sort("metadata.-x") == Sort(Field("-x"))
    for wrong in ("", "-", "a\0"):
        with pytest.raises(InvalidInput, match="sort"):
            parse_sort(wrong)
