"""Workbooks as Markdown tables.

Read by openpyxl itself: by way of pandas, as markitdown does it, a whole number in a column with an empty cell becomes
`120.0`, an empty cell `NaN`, and a cell in the far corner a table of gigabytes.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from io import BytesIO
from typing import Any


def workbook_text(data: bytes) -> str:
    """Each sheet that is not empty as a heading and a table; formulas as the values last computed."""
    from openpyxl import load_workbook

    book = load_workbook(BytesIO(data), read_only=True, data_only=True)
    sheets = []
    for sheet in book.worksheets:
        # Some programs declare a size that is not true.
        sheet.reset_dimensions()
        if table := _table(sheet.iter_rows(values_only=True)):
            sheets.append(f"## {sheet.title}\n\n{table}")
    return "\n\n".join(sheets)


def _table(rows: Iterable[Sequence[Any]]) -> str:
    filled = [cells for row in rows if (cells := _cells(row))]
    width = max(map(len, filled), default=0)
    lines = ["| " + " | ".join(cells + [""] * (width - len(cells))) + " |" for cells in filled]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]]) if lines else ""


def _cells(row: Sequence[Any]) -> list[str]:
    cells = [_shown(value) for value in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    if isinstance(value, (date, time)):
        return value.isoformat().replace("T", " ")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return " ".join(str(value).split()).replace("|", "\\|")
