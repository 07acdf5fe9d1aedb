"""The chunker: exact slices, structure kept, linear time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge_base.chunking import chunk, embedding_text
from knowledge_base.documents import Chunk

HANDBOOK = """---
title: On-call handbook
owner: priya
---

# On-call handbook

Who carries the pager.

## The rota

A turn lasts one week. It starts on Tuesday.

- Primary answers first.
- Secondary answers when the primary does not.

## Paging

Underlined heading
------------------

Text below it.

```python
# not a heading

print("kept whole")
```

| key | value |
| --- | --- |
| a | 1 |
| b | 2 |
"""

LINES = st.sampled_from(
    [
        "# One",
        "## Two",
        "### Three",
        "Title",
        "===",
        "---",
        "",
        "",
        "   ",
        "- item",
        "1. first",
        "| a | b |",
        "|---|---|",
    ]
    + [
        "```",
        "~~~",
        "````",
        "    indented",
        "> quote",
        "Word. Another! 文。字",
        "a" * 50,
        "\u00a0",
        "\u2028",
        "x " * 30,
        "#",
        "#x",
    ]
)
TEXTS = st.one_of(st.lists(LINES, max_size=40).map("\n".join), st.text(max_size=400))


def texts(chunks: list[Chunk]) -> list[str]:
    return [item.text for item in chunks]


@settings(max_examples=400, deadline=None)
@given(text=TEXTS, limit=st.integers(3, 60))
def test_chunks_are_slices_that_cover_the_text(text: str, limit: int) -> None:
    chunks = chunk(text, limit)
    assert [item.number for item in chunks] == list(range(len(chunks)))
    assert all(item.text == text[item.start : item.end] for item in chunks)
    assert all(before.end <= after.start for before, after in zip(chunks, chunks[1:], strict=False))
    assert all(item.text.strip() and len(item.text.split()) <= limit for item in chunks)
    assert all(len(item.text) <= 24 * limit for item in chunks)
    assert "".join("".join(item.text.split()) for item in chunks) == "".join(text.split())
    assert chunk(text, limit) == chunks


def test_sections_are_the_headings_above() -> None:
    sections = [item.section for item in chunk(HANDBOOK, 30)]
    assert list(dict.fromkeys(sections)) == [
        "",
        "On-call handbook",
        "On-call handbook > The rota",
        "On-call handbook > Underlined heading",
    ]


def test_front_matter_joins_the_first_section() -> None:
    first = chunk(HANDBOOK)[0]
    assert first.text.startswith("---\ntitle: On-call handbook")
    assert first.section.startswith("On-call handbook")


def test_heading_inside_code_is_code() -> None:
    assert not any("not a heading" in item.section for item in chunk(HANDBOOK, 12))


@pytest.mark.parametrize("limit", [20, 25, 40, 60])
def test_code_and_tables_stay_whole(limit: int) -> None:
    code = "```\n" + "\n".join(f"line {n}" for n in range(6)) + "\n```"
    table = "\n".join(f"| {n} | x |" for n in range(4))
    chunks = texts(chunk(f"# A\n\nSome words before it all.\n\n{code}\n\nBetween. Words.\n\n{table}\n\nAfter.", limit))
    assert any(code in text for text in chunks)
    assert any(table in text for text in chunks)


def test_rows_of_a_long_table_are_not_cut() -> None:
    rows = [f"| row {n} | one two three |" for n in range(30)]
    for text in texts(chunk("\n".join(rows), 20)):
        assert all(row in rows for row in text.split("\n"))


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    sentences = [f"Sentence number {n} has seven words." for n in range(40)]
    chunks = texts(chunk(" ".join(sentences), 30))
    assert len(chunks) == 8
    assert all(text.startswith("Sentence") and text.endswith("words.") for text in chunks)


def test_small_paragraphs_of_a_section_share_a_chunk() -> None:
    chunks = texts(chunk("# A\n\n" + "\n\n".join(f"Paragraph {n}." for n in range(20)), 22))
    assert len(chunks) == 2


def test_a_heading_is_not_left_alone() -> None:
    paragraph = " ".join(f"Sentence number {n} has seven words." for n in range(5))
    assert len(paragraph.split()) == 30
    chunks = texts(chunk(f"# A heading of words\n\n{paragraph}", 32))
    assert chunks[0].startswith("# A heading of words\n\nSentence number 0")


def test_tiny_sections_join_the_next_sibling() -> None:
    [together] = chunk("# Doc\n\n## A\n\nOne line.\n\n## B\n\nAnother line.")
    assert together.section == "Doc"
    long = "word " * 100
    apart = chunk(f"# Doc\n\n## A\n\n{long}\n\n## B\n\n{long}")
    assert [item.section for item in apart] == ["Doc > A", "Doc > B"]
    assert apart[0].text.startswith("# Doc\n\n## A")


def test_a_tiny_section_does_not_join_a_deeper_stranger() -> None:
    chunks = chunk(f"# A\n\n## B\n\n{'word ' * 100}\n\n## C\n\nTiny.\n\n# D\n\n## E\n\n{'word ' * 100}")
    assert [item.section for item in chunks] == ["A > B", "A > C", "D > E"]


def test_a_hostile_heading_does_not_multiply() -> None:
    chunks = chunk("# " + "long " * 150 + "\n\n" + "word " * 100_000)
    assert max(len(item.section) for item in chunks) <= 120


@pytest.mark.parametrize("filler", ["a", "#", "`", "|"])
def test_five_megabytes_of_one_thing_are_quick(filler: str) -> None:
    assert_quick(filler * 5_000_000, 2)


@pytest.mark.parametrize(
    "piece",
    ["\n", " ", "-", ">", "文", "a ", "# ", ". ", "~", "\t", "=", "1.", "。", " \n", "[", "!["]
    + ["#\n", "# a\n", "```\n", "|\n", "- a\n", "a\n\n", "a\n=\n", "---\n", "``` `\n", "~~~ x\n", "a:\n", "1. b\n\n"],
)
def test_half_a_megabyte_of_anything_is_quick(piece: str) -> None:
    assert_quick(piece * (500_000 // len(piece)), 2)


def assert_quick(text: str, seconds: float) -> None:
    started = time.process_time()
    chunk(text)
    assert time.process_time() - started < seconds


def test_embedding_text_has_title_section_and_text_once() -> None:
    part = Chunk(0, "Handbook > Rota", "A week.", 0, 7)
    assert embedding_text("Handbook", part) == "Handbook\nRota\nA week."
    assert embedding_text("", part) == "Handbook > Rota\nA week."
    assert embedding_text("Other", Chunk(0, "", "A week.", 0, 7)) == "Other\nA week."
