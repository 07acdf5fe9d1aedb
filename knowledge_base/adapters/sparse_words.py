"""Words as sparse vectors, so that an index of vectors can search text.

A text's weights are those of BM25, but for the rarity of words, which only a count over all texts would tell: each word
of a question counts the same. A word's place in the vector is a hash of its English stem.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from functools import lru_cache

from knowledge_base.stop_words import STOP_WORDS
from knowledge_base.words import WORD

K1, B = 1.2, 0.75
USUAL_WORDS = 100
"""Of a passage. BM25 would count."""
MAX_WORDS = 1_000
"""Different ones of a text; hosted indices take no more."""
_POSSESSIVE = re.compile(r"['’]s\b")


def text_weights(text: str) -> dict[int, float]:
    """Place -> weight, of the words of a passage."""
    counted = Counter(_stems(text))
    length = K1 * (1 - B + B * counted.total() / USUAL_WORDS)
    weights = {_place(stem): count * (K1 + 1) / (count + length) for stem, count in counted.items()}
    return dict(sorted(weights.items(), key=lambda item: -item[1])[:MAX_WORDS])


def query_weights(query: str) -> dict[int, float]:
    """Place -> weight, of the words of a question; empty if it has none that counts."""
    return dict.fromkeys(list(dict.fromkeys(map(_place, _stems(query))))[:MAX_WORDS], 1.0)


def _stems(text: str) -> list[str]:
    plain = _POSSESSIVE.sub("", unicodedata.normalize("NFKD", text.lower()))
    folded = "".join(char for char in plain if not unicodedata.combining(char))
    return [stem for word in WORD.findall(folded) if (stem := _stem(word)) not in STOP_WORDS]


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    import Stemmer

    return str(Stemmer.Stemmer("english").stemWord(word))


def _place(stem: str) -> int:
    return int.from_bytes(hashlib.blake2b(stem.encode(errors="surrogatepass"), digest_size=4).digest(), "big")
