"""Parses the subset of SOQL that is used: SELECT fields or COUNT() FROM one object, WHERE, ORDER BY, LIMIT, OFFSET.

SOQL and SOSL Reference: strings are in single quotes; a backslash stands before n r t b f " ' \\ and, for LIKE, _ %.
AND and OR are not mixed without parentheses.
"""

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from infra.crm.salesforce.errors import query_error

_TOKEN = re.compile(
    r"""\s+|(?P<string>'(?:[^'\\]|\\.)*')|(?P<time>\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))?)
    |(?P<number>[+-]?\d+(?:\.\d+)?)|(?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*(?::\d+)?)|(?P<mark>!=|<>|<=|>=|[=<>(),])""",
    re.VERBOSE,
)
_ESCAPES = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "b": "\b",
    "f": "\f",
    '"': '"',
    "'": "'",
    "\\": "\\",
    "_": "\\_",
    "%": "\\%",
}
OPERATORS = {"=", "!=", "<>", "<", ">", "<=", ">="}
MAX_LENGTH = 100_000


@dataclass(frozen=True)
class Name:
    """A field path, and where it stands."""

    path: tuple[str, ...]
    position: int


@dataclass(frozen=True)
class Literal:
    """A value: text, number, True, False, None, or a date word such as TODAY."""

    value: Any
    kind: str


@dataclass(frozen=True)
class Comparison:
    """field operator value; IN and NOT IN have a list."""

    field: Name
    operator: str
    value: Literal | list[Literal]


@dataclass(frozen=True)
class Logic:
    """AND, OR or NOT of conditions."""

    operator: str
    parts: "list[Condition]"


Condition = Comparison | Logic


@dataclass(frozen=True)
class Order:
    """One entry of ORDER BY."""

    field: Name
    descending: bool
    nulls_last: bool


@dataclass(frozen=True)
class Query:
    """A parsed query; without fields it is a COUNT()."""

    fields: list[Name]
    source: Name
    where: Condition | None
    order: list[Order]
    limit: int | None
    offset: int


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> Query:
    """Raises Refused with MALFORMED_QUERY that shows the place."""
    return _Parser(text).query()


def parse_where(text: str) -> Condition:
    """A condition alone, as SOSL has it."""
    parser = _Parser(text)
    where = parser.condition()
    parser.end()
    return where


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._tokens = self._split()

    def query(self) -> Query:
        self._expect("select")
        fields = self._fields()
        self._expect("from")
        source = self._name()
        where = self.condition() if self._accept("where") else None
        order = self._order() if self._accept("order") else []
        limit = self._count() if self._accept("limit") else None
        offset = self._count() if self._accept("offset") else 0
        self.end()
        return Query(fields, source, where, order, limit, offset)

    def condition(self) -> Condition:
        parts, operator = [self._unary()], ""
        while word := self._accept("and", "or"):
            if operator and word != operator:
                self._at -= 1
                self._unexpected()
            operator = word
            parts.append(self._unary())
        return Logic(operator, parts) if operator else parts[0]

    def end(self) -> None:
        if self._at < len(self._tokens):
            self._unexpected()

    def _split(self) -> list[_Token]:
        tokens, position = [], 0
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:
                quote = self._text[position] == "'"
                self._fail(
                    position,
                    "unexpected token: '<EOF>'"
                    if quote
                    else f"line 1:{position} no viable alternative at character '{self._text[position]}'",
                )
            if match.lastgroup:
                tokens.append(_Token(match.lastgroup, match.group(), position))
            position = match.end()
        return tokens

    def _fields(self) -> list[Name]:
        token = self._peek()
        if token and token.text.lower() == "count" and self._mark_at(1) == "(":
            self._at += 2
            self._expect_mark(")")
            return []
        fields = [self._name()]
        while self._accept_mark(","):
            fields.append(self._name())
        return fields

    def _unary(self) -> Condition:
        if self._accept("not"):
            return Logic("not", [self._unary()])
        if self._accept_mark("("):
            inside = self.condition()
            self._expect_mark(")")
            return inside
        return self._comparison()

    def _comparison(self) -> Comparison:
        field = self._name()
        if self._accept("like"):
            return Comparison(field, "like", self._literal())
        if self._accept("not"):
            self._expect("in")
            return Comparison(field, "not in", self._list())
        if self._accept("in"):
            return Comparison(field, "in", self._list())
        token = self._peek()
        if token is None or token.text not in OPERATORS:
            self._unexpected()
        self._at += 1
        return Comparison(field, "!=" if token.text == "<>" else token.text, self._literal())

    def _list(self) -> list[Literal]:
        self._expect_mark("(")
        values = [self._literal()]
        while self._accept_mark(","):
            values.append(self._literal())
        self._expect_mark(")")
        return values

    def _literal(self) -> Literal:
        token = self._peek()
        if token is None or token.kind == "mark":
            self._unexpected()
        self._at += 1
        if token.kind == "string":
            return Literal(self._unescaped(token), "string")
        if token.kind == "number":
            return Literal(float(token.text), "number")
        if token.kind == "time":
            return Literal(token.text, "time")
        word = token.text.lower()
        if word in ("true", "false", "null"):
            return Literal({"true": True, "false": False, "null": None}[word], "word")
        if re.fullmatch(r"today|yesterday|last_n_days:\d+|last_week|last_month|this_month|this_year", word):
            return Literal(word, "date")
        self._at -= 1
        self._unexpected()

    def _unescaped(self, token: _Token) -> str:
        def replaced(match: re.Match[str]) -> str:
            if match.group(1) not in _ESCAPES:
                self._fail(
                    token.position,
                    f"Illegal character sequence '{match.group()}' in string literal '{token.text[1:-1]}'",
                )
            return _ESCAPES[match.group(1)]

        return re.sub(r"\\(.)", replaced, token.text[1:-1], flags=re.DOTALL)

    def _order(self) -> list[Order]:
        self._expect("by")
        entries = [self._order_entry()]
        while self._accept_mark(","):
            entries.append(self._order_entry())
        return entries

    def _order_entry(self) -> Order:
        field = self._name()
        descending = self._accept("asc", "desc") == "desc"
        nulls = self._accept("first", "last") if self._accept("nulls") else "first"
        return Order(field, descending, nulls == "last")

    def _count(self) -> int:
        token = self._peek()
        if token is None or token.kind != "number" or not token.text.isdigit():
            self._unexpected()
        self._at += 1
        return int(token.text)

    def _name(self) -> Name:
        token = self._peek()
        if token is None or token.kind != "name" or ":" in token.text:
            self._unexpected()
        self._at += 1
        return Name(tuple(token.text.split(".")), token.position)

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _mark_at(self, ahead: int) -> str:
        place = self._at + ahead
        return self._tokens[place].text if place < len(self._tokens) else ""

    def _accept(self, *words: str) -> str:
        token = self._peek()
        if token and token.kind == "name" and token.text.lower() in words:
            self._at += 1
            return token.text.lower()
        return ""

    def _accept_mark(self, mark: str) -> bool:
        token = self._peek()
        found = token is not None and token.kind == "mark" and token.text == mark
        self._at += found
        return found

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            self._unexpected()

    def _expect_mark(self, mark: str) -> None:
        if not self._accept_mark(mark):
            self._unexpected()

    def _unexpected(self) -> NoReturn:
        token = self._peek()
        position = token.position if token else len(self._text)
        self._fail(position, f"unexpected token: '{token.text if token else '<EOF>'}'")

    def _fail(self, position: int, problem: str) -> NoReturn:
        raise query_error("MALFORMED_QUERY", self._text, position, problem)
