"""What of a question a full-text search looks for."""

import re
import unicodedata

MAX_QUERY_CHARS = 2_000
_WORD = re.compile(r"\w{1,40}")


def query_words(query: str) -> str:
    """Its words alone, so that no part of it is an operator; empty if it has none."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFC", query[:MAX_QUERY_CHARS])))
