"""What changed between two texts, also where they are long."""

from dataclasses import replace

import pytest

from common.security.access import Access
from knowledge_base.comparison import MAX_COMPARED, Comparison, compare
from knowledge_base.documents import Version

OLD = Version("acme", "tea", 1, "Tea", "tea.md", "key", "text", Access(), {}, 1.0, "alice", 1.0, None, True)
LONG = [f"line {number}" for number in range(20_000)]


def compared(before: list[str], after: list[str]) -> Comparison:
    return compare(OLD, "\n".join(before), replace(OLD, version=2), "\n".join(after))


@pytest.mark.parametrize("place", [0, 1, 9_000, 19_999])
def test_a_change_of_a_long_text_stands_in_its_place(place: int) -> None:
    found = compared(LONG, [*LONG[:place], "++ new", "other", *LONG[place + 1 :]])
    head, *rest = found.diff.splitlines()[2:]
    first, last = max(place - 2, 0), min(place + 3, 20_000)
    assert head == f"@@ -{first + 1},{last - first} +{first + 1},{last - first + 1} @@"
    assert [line for line in rest if line[0] != " "] == [f"-line {place}", "+++ new", "+other"]
    assert (found.added, found.removed, found.truncated, found.too_long) == (2, 1, False, False)


@pytest.mark.parametrize("before", [[], ["a"], ["a", "a"], ["a", "a", "b", "a"], ["a"] * 9])
@pytest.mark.parametrize("after", [[], ["a", "a", "a"], ["b", "a", "a"], ["a"] * 12])
def test_what_repeats_is_counted_once(before: list[str], after: list[str]) -> None:
    found = compared(before, after)
    assert found.added - found.removed == len(after) - len(before)


def test_what_is_too_long_is_compared_in_part_and_said_to_be() -> None:
    swapped = [LONG[number ^ 1] for number in range(20_000)]
    found = compared(LONG, swapped)
    assert found.too_long and found.diff.startswith("--- version 1\n+++ version 2\n@@ -1,")
    assert 0 < found.added == found.removed <= MAX_COMPARED
