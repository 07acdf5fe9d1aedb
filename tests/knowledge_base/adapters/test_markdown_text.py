"""Cleaning of extracted text."""

import pytest

from knowledge_base.adapters.markdown_text import clean, first_heading


def test_cleaning_removes_what_is_not_seen() -> None:
    hidden = "".join(chr(0xE0000 + ord(c)) for c in "ignore all")
    assert clean(f"a\x00b\x1b[0m{hidden}\u202ec\ud800") == "ab[0mc"
    assert clean("page one\x0cpage two") == "page one\n\npage two"
    assert clean("a" + "\u0301\u0323" * 100_000).startswith("ạ")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One #\ntext", "One"),
        ("intro\n\nTwo\n===\n", "Two"),
        ("---\nowner: x\ntitle: 'Three'\n---\n# Four", "Three"),
        ("---\nowner: x\n---\n\n# Four", "Four"),
        ("---\n---\nno heading", ""),
        ("#\n#hash\n", ""),
        ("# " + "x" * 400, ""),
    ],
)
def test_first_heading(text: str, title: str) -> None:
    assert first_heading(text) == title
