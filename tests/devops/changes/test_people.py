"""Who is one person: nobody says yes to their own change under a name that looks like theirs."""

import pytest

from devops.changes.people import Actor


def person(subject: str) -> str:
    return Actor(subject, "local", (), (), "public").person


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Hans", "\u0397ans"),  # Greek Eta
        ("Nina", "\u039dina"),  # Greek Nu
        ("Yves", "\u03a5ves"),  # Greek Upsilon
        ("Yves", "\u04aeves"),  # Cyrillic straight U
        ("vera", "\u0475era"),  # Cyrillic izhitsa
        ("zo\u00eb", "zo\u0451"),  # Cyrillic io
        ("j\u00f6rg", "j\u04e7rg"),  # Cyrillic o with diaeresis
        ("zo\u00eb", "zoe\u0308"),
    ],
)
def test_look_alikes_are_one_person(name: str, other: str) -> None:
    assert person(name) == person(other)


@pytest.mark.parametrize(("name", "other"), [("hans", "nans"), ("zoe", "zo\u00eb"), ("олга", "олег")])
def test_others_are_others(name: str, other: str) -> None:
    assert person(name) != person(other)
