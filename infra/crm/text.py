"""Full-text matching as all three do it in their own words: whole words, case and diacritics folded."""

import re
import unicodedata
from functools import lru_cache

_WORDS = re.compile(r"\w+")


def folded(text: str) -> str:
    """The words of a text, folded, between single spaces."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode().casefold()
    return f" {' '.join(_WORDS.findall(plain))} "


def contains(hay: str, phrase: str) -> bool:
    """Whether folded text has these words next to each other; a last `*` stands for the rest of a word."""
    needle = _needle(phrase)
    return needle != "" and needle in hay


@lru_cache(maxsize=256)
def _needle(phrase: str) -> str:
    words = folded(phrase).strip()
    return "" if not words else f" {words}" if phrase.endswith("*") else f" {words} "


def digits(text: str) -> str:
    """The digits of a telephone number."""
    return "".join(char for char in text if char.isdigit())
