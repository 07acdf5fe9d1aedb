"""`column IN (...)` with one parameter, however long the list: one statement to compile, cache, and plan."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Text, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


def among(column: ColumnElement[str], texts: Iterable[str]) -> ColumnElement[bool]:
    """Whether the column is one of these texts."""
    return column.bool_op("IN")(_Texts(literal(json.dumps(list(texts)), Text())))


class _Texts(GenericFunction[Any]):
    """The texts of a JSON array, as rows."""

    type = Text()
    inherit_cache = True
    name = "triptych_texts"


@compiles(_Texts, "sqlite")
def _sqlite(element: _Texts, compiler: Any, **given: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(element.clauses, **given)}))"  # noqa: S608 - a parameter


@compiles(_Texts, "postgresql")
def _postgresql(element: _Texts, compiler: Any, **given: Any) -> str:
    return f"(SELECT json_array_elements_text(CAST({compiler.process(element.clauses, **given)} AS JSON)))"
