"""A diff as rows, with the words that changed."""

import pytest

from knowledge_base.console.differences import MAX_WORK, rows


@pytest.mark.parametrize("lines", [1, 40])
def test_words_are_marked_until_it_is_too_much(lines: int) -> None:
    old, new = ("-" + "tea " * 99 + "cold", "+" + "tea " * 99 + "hot")
    found = rows("\n".join(["--- 1", "+++ 2", f"@@ -1,{lines} +1,{lines} @@", *[old] * lines, *[new] * lines]))
    marked = [row for row in found if any(is_changed for _, is_changed in row.pieces)]
    assert len(found) == 2 * lines + 1
    assert len(marked) == 2 * min(lines, MAX_WORK // 199**2)
