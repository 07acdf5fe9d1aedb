"""SOQL: a value that is escaped stays a value, whatever it is."""

from hypothesis import given
from hypothesis import strategies as st

from infra.crm.calls import Refused
from infra.crm.salesforce.soql import Comparison, Literal, parse


def escaped(value: str) -> str:
    """As Salesforce documents it, and as simple-salesforce does it."""
    for char, name in (
        ("\\", "\\"),
        ("'", "'"),
        ('"', '"'),
        ("\n", "n"),
        ("\r", "r"),
        ("\t", "t"),
        ("\b", "b"),
        ("\f", "f"),
    ):
        value = value.replace(char, f"\\{name}")
    return value


@given(st.text())
def test_a_value_comes_out_as_it_went_in(value: str) -> None:
    query = parse("SELECT Id FROM Contact WHERE LastName = '" + escaped(value) + "' LIMIT 1")  # noqa: S608 - nonsense
    assert isinstance(query.where, Comparison) and query.where.value == Literal(value, "string") and query.limit == 1


@given(st.text(alphabet="SELECTFROMWHEREid()'\\,=<>.%_ \n:0123abc", max_size=60))
def test_nonsense_is_refused_and_nothing_worse(text: str) -> None:
    try:
        parse(f"SELECT {text}")
    except Refused as refused:
        assert refused.answer.status == 400 and refused.answer.body[0]["errorCode"] == "MALFORMED_QUERY"
