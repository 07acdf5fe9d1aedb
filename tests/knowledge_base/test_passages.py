"""Documents as lines of a page, also those that are written to hold it up."""

import pytest

from knowledge_base.console.passages import blocks


@pytest.mark.parametrize(
    ("line", "is_rule"),
    [
        ("|---|:-:|", True),
        (" | - ", True),
        ("|-", True),
        ("|-x", False),
        ("||", False),
        ("|  |", False),
        ("|:|", False),
    ],
)
def test_the_rule_of_a_table_is_no_row_of_it(line: str, is_rule: bool) -> None:
    assert [block.kind for block in blocks(line)] == ([] if is_rule else ["row"])


@pytest.mark.parametrize(
    "line", ["|" + "-" * 50_000 + " " * 50_000 + "x", "|" * 5_000 + " " * 90_000, "- " + " " * 100_000, "#" * 100_000]
)
def test_a_hostile_line_is_one_line(line: str) -> None:
    """A pattern that tries all ways to split it would not come back for hours."""
    [block] = blocks(line)
    assert len(block.lines) == 1
