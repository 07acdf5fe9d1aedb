"""The same passage in several documents is one answer; nothing is lost, and nothing secret is named."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from common.security.access import Access, AccessScope
from knowledge_base.documents import Hit
from knowledge_base.duplicates import MIN_WORDS, collapsed
from tests.support.knowledge import add_all, document, knowledge_base_in

ANN = AccessScope("acme", "ann")
RULE = """Whoever opens the kettle store in the morning checks the descaling log, signs it, and tells the shift lead
about every kettle that is missing, broken, or still wet from the evening before, so that none is sold."""


def shown(*texts: str) -> list[tuple[str, list[str]]]:
    hits = [Hit(f"d{place}", 1, "", "", text, 0, 0, 1, 1.0, {}) for place, text in enumerate(texts)]
    return [(answer.hit.document_id, answer.others) for answer in collapsed([(hit, 1.0) for hit in hits])]


def test_the_same_words_in_another_dress_are_the_same() -> None:
    assert shown(RULE, "Something else.", RULE.upper().replace(",", " -\n")) == [("d0", ["d2"]), ("d1", [])]
    longer = f"{RULE} {RULE.replace('kettle', 'pot')}"
    assert shown(longer, longer.replace("wet from", "damp from", 1)) == [("d0", ["d1"])]


def test_another_number_a_short_passage_or_half_of_it_is_not_the_same() -> None:
    assert len(shown(f"{RULE} It costs 10 euros.", f"{RULE} It costs 12 euros.")) == 2
    assert len(shown("See above.", "See above.")) == 2
    words = RULE.split()
    assert len(words) > MIN_WORDS
    assert len(shown(RULE, " ".join(words[: len(words) // 2 + 4]))) == 2


WORDS = st.lists(st.sampled_from([*"abcdefghij", "7", "ß", "the"]), min_size=MIN_WORDS, max_size=90)
PLACES = st.lists(st.integers(0, 89), max_size=4)


@given(WORDS, PLACES)
def test_passages_are_the_same_if_nine_tenths_of_their_runs_are(words: list[str], places: list[int]) -> None:
    changed = ["other" if place in places else word for place, word in enumerate(words)]
    one, two = ({*zip(each, each[1:], each[2:], strict=False)} for each in (words, changed))
    same = len(one & two) >= 0.9 * len(one | two) and words.count("7") == changed.count("7")
    assert (len(shown(" ".join(words), ", ".join(changed))) == 1) is same


async def test_others_are_counted_of_what_the_caller_may_read_and_no_page_repeats_them(tmp_path: Path) -> None:
    secret = Access("restricted")
    async with knowledge_base_in(tmp_path) as knowledge_base:
        copies = [document(f"copy-{number}", RULE) for number in range(3)]
        own = document("own", "The kettle store is open from nine to five, and on Saturdays until noon.")
        await add_all(knowledge_base, [*copies, document("secret", RULE, access=secret), own])
        page = await knowledge_base.search.search("kettle store in the morning", ANN, limit=1)
        [first] = page.items
        assert {first.document_id, *first.also_in} == {"copy-0", "copy-1", "copy-2"}
        rest = await knowledge_base.search.search("kettle store in the morning", ANN, limit=1, cursor=page.next_cursor)
        assert [item.document_id for item in rest.items] == ["own"] and rest.next_cursor is None
        cleared = AccessScope("acme", "ben", clearance="restricted")
        both = (await knowledge_base.search.search("kettle store in the morning", cleared)).items
        assert {name for item in both for name in (item.document_id, *item.also_in)} == {
            "copy-0", "copy-1", "copy-2", "secret", "own",
        }  # fmt: skip
