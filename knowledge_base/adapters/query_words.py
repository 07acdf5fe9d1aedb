"""What of a question a full-text search looks for."""

import re
import unicodedata

MAX_QUERY_CHARS = 2_000
_WORD = re.compile(r"\S{1,40}")


def query_words(query: str) -> str:
    """Its words alone, so that no part of it is an operator; empty if it has none."""
    text = "".join(map(_part_of_word, unicodedata.normalize("NFC", query[:MAX_QUERY_CHARS])))
    return " ".join(word for word in _WORD.findall(text) if re.search(r"\w", word))


def _part_of_word(char: str) -> str:
    """The character, or a space. Vowels and joins of many scripts are marks, which `\\w` leaves out."""
    return char if char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M" else " "
