from hypothesis import given
from hypothesis import strategies as st

from knowledge_base.snippets import snippet


def test_words_are_marked_by_their_stem() -> None:
    assert snippet(
        "The warranty of Pumps runs two years; it covers pumping.", "How long is the warranties of a pump?"
    ) == ("The **warranty** of **Pumps** runs two years; it covers **pumping**.")


def test_words_of_other_scripts_are_marked_whole() -> None:
    assert snippet("हिन्दी एक भाषा है।", "हिन्दी") == "**हिन्दी** एक भाषा है।"


def test_small_words_are_not_marked_but_numbers_are() -> None:
    assert snippet("It is in room 7 of 12.", "is it in 7?") == "It is in room **7** of 12."


def test_the_window_is_where_most_words_of_the_question_are() -> None:
    text = "alpha " * 100 + "the valve was closed by the operator " + "omega " * 100
    shown = snippet(text, "operators closing valves", width=60)
    assert "**valve** was **closed** by the **operator**" in shown
    assert shown.startswith("… ") and shown.endswith(" …")


def test_a_passage_without_the_words_is_shown_from_its_beginning() -> None:
    assert snippet("nothing of it " * 50, "pump").startswith("nothing of it nothing")


@given(st.text(max_size=600), st.text(max_size=40), st.integers(20, 200))
def test_without_the_marks_it_is_a_part_of_the_text(text: str, query: str, width: int) -> None:
    flat = " ".join(text.split())
    shown = snippet(text, query, width).removeprefix("… ").removesuffix(" …")
    if "*" not in flat:
        assert shown.replace("**", "") in flat
