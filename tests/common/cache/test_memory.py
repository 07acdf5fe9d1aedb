from hypothesis import given
from hypothesis import strategies as st

from common.cache.entry import Entry
from common.cache.memory import CEILING_SECONDS, Memory


def entry(value: object = 1, *tags: str, usable_until: float = 1e9) -> Entry:
    return Entry(value, 0.0, usable_until, usable_until, frozenset(tags))


def test_the_least_recently_used_entry_goes_first() -> None:
    memory = Memory(2)
    for key in ("a", "b"):
        memory.put(key, entry(key), memory.moment(), 0)
    assert memory.get("a", 0)
    memory.put("c", entry("c"), memory.moment(), 0)
    assert [key for key in "abc" if memory.get(key, 0)] == ["a", "c"]


def test_nothing_is_trusted_for_longer_than_the_ceiling() -> None:
    memory = Memory(2)
    memory.put("a", entry(), memory.moment(), 100.0)
    assert memory.get("a", 100 + CEILING_SECONDS - 1)
    assert memory.get("a", 100 + CEILING_SECONDS) is None
    assert len(memory) == 0


def test_a_tag_takes_all_its_entries_along() -> None:
    memory = Memory(10)
    memory.put("a", entry(1, "x", "y"), memory.moment(), 0)
    memory.put("b", entry(1, "y"), memory.moment(), 0)
    memory.put("c", entry(1, "z"), memory.moment(), 0)
    memory.drop(["y"])
    assert [key for key in "abc" if memory.get(key, 0)] == ["c"]


def test_a_fill_that_an_invalidation_overtook_is_dropped() -> None:
    memory = Memory(10)
    since = memory.moment()
    memory.drop(["x"])
    assert not memory.put("a", entry(1, "x"), since, 0)
    assert memory.put("b", entry(1, "y"), since, 0)
    assert memory.put("a", entry(1, "x"), memory.moment(), 0)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60))
def test_what_is_not_remembered_counts_as_invalidated(drops: list[int]) -> None:
    memory = Memory(3)
    since = memory.moment()
    for number in drops:
        memory.drop([f"t{number}"])
    for number in set(drops):
        assert not memory.put("a", entry(1, f"t{number}"), since, 0)


def test_clearing_forgets_also_what_is_being_read() -> None:
    memory = Memory(3)
    since = memory.moment()
    memory.clear()
    assert not memory.put("a", entry(1, "x"), since, 0)
    assert memory.put("a", entry(1, "x"), memory.moment(), 0)
