"""Random metadata and filters, with keys and values that a careless translation would stumble over."""

from typing import Any

from hypothesis import strategies as st

from knowledge_base.filters import All, AnyOf, Bound, Exists, Field, Filter, Not, OneOf, Range

# Quotes, backslashes, paths, wildcards, comments, another key's prefix, lookalikes.
HOSTILE = ["'", '"', "\\", "a'b", 'a"b', "a\\'b", "a.b", "$", "$.a", "[0]", "a[0]", "", " ", "%", "_", "--", "/*", "é"]
HOSTILE += ["e\u0301", "🙂", "') OR true --", '") OR 1=1 --', "null", "text:a", "any:a", "0", ":a", "%(a)s", "\n", "{}"]
KEYS = st.sampled_from(["a", "a", "b", "year", *HOSTILE])
TEXTS = st.one_of(st.sampled_from(["1", "true", "2024-06-30", "2024-07", "A", "a", "b", *HOSTILE]))
NUMBERS = st.sampled_from([0, -0.0, 1, 1.0, -1, 2024, 2024.5, 2**53, 2**53 + 1, 1e300, 5e-324, 0.1, 0.1 + 0.2])
VALUES: st.SearchStrategy[Any] = st.one_of(TEXTS, NUMBERS, st.booleans())
METADATA = st.dictionaries(KEYS, st.one_of(VALUES, VALUES, st.lists(TEXTS, max_size=3)), max_size=6)
FIELDS = st.builds(Field, KEYS)
BOUNDS: st.SearchStrategy[Bound] = st.sampled_from(["gt", "gte", "lt", "lte"])


def _ranges(fields: st.SearchStrategy[Field], limits: st.SearchStrategy[Any]) -> st.SearchStrategy[Range]:
    bounds = st.lists(st.tuples(BOUNDS, limits), min_size=1, max_size=2).map(tuple)
    return st.builds(Range, fields, bounds)


def _one_of(fields: st.SearchStrategy[Field], values: st.SearchStrategy[Any]) -> st.SearchStrategy[OneOf]:
    return st.builds(OneOf, fields, st.lists(values, max_size=3).map(tuple))


OWN_TEXT = st.sampled_from([Field("document_id", own=True), Field("title", own=True)])
OWN_NUMBER = st.sampled_from([Field("published_at", own=True), Field("classification", own=True)])
NAMES = st.one_of(st.integers(0, 40).map(lambda n: f"d{n}"), TEXTS)
MOMENTS = st.integers(0, 40).map(float)
LEAVES: st.SearchStrategy[Filter] = st.one_of(
    _one_of(FIELDS, VALUES),
    _one_of(FIELDS, TEXTS),
    _ranges(FIELDS, TEXTS),
    _ranges(FIELDS, NUMBERS.map(float)),
    st.builds(Exists, st.one_of(FIELDS, OWN_TEXT)),
    _one_of(OWN_TEXT, NAMES),
    _one_of(OWN_NUMBER, MOMENTS),
    _ranges(OWN_TEXT, NAMES),
    _ranges(OWN_NUMBER, MOMENTS),
)


def _nested(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(parts, max_size=3).map(tuple)
    return st.one_of(st.builds(All, several), st.builds(AnyOf, several), st.builds(Not, parts))


FILTERS: st.SearchStrategy[Filter] = st.recursive(LEAVES, _nested, max_leaves=8)
