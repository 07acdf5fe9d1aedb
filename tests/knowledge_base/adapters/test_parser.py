"""Real files through the real parser process, and what happens when that process comes to harm."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio

from common.errors import Unavailable
from knowledge_base.adapters.parser import IsolatedParser
from knowledge_base.documents import ParsedDocument
from knowledge_base.files import Refused, check_file
from tests.knowledge_base.adapters.office_files import CONTENT_TYPES, archive, docx, pdf, pptx, with_parts, xlsx

# The process takes seconds to start, so the tests that do no harm to it share one parser.
pytestmark = pytest.mark.asyncio(loop_scope="module")

HTML = b"""<html><head><title> Price  list </title><style>p {color: red}</style></head><body>
<nav><a href="/">Home</a></nav><h1>Prices</h1><p>A logger costs <b>120</b> euros.</p><script>alert(1)</script>
<p><img alt="a chart" src="data:image/png;base64,AAAABBBB"><img src="http://127.0.0.1:1/x.png"></p>
<footer>Imprint</footer></body></html>"""


SLOW = b"<p>text</p>" * 30_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parser() -> AsyncIterator[IsolatedParser]:
    parser = IsolatedParser()
    yield parser
    await parser.close()


async def refusal(parser: IsolatedParser, name: str, data: bytes) -> str:
    with pytest.raises(Refused) as refused:
        await parser.parse(name, data)
    return str(refused.value)


async def test_text_needs_no_process() -> None:
    parser = IsolatedParser()
    data = "---\nowner: x\n---\r\n# Cafe\u0301\r\n\r\n\r\n\r\n\r\nText.\x07\n".encode()
    assert await parser.parse("a.md", data) == ParsedDocument("Café", "---\nowner: x\n---\n# Café\n\n\nText.")
    assert (await parser.parse("a.txt", "no heading".encode("utf-16"))).title == ""
    assert not parser._idle


async def test_html(parser: IsolatedParser) -> None:
    document = await parser.parse("a.html", HTML)
    assert document.title == "Price list"
    assert document.text.startswith("# Prices\n\nA logger costs **120** euros.\n\na chart")
    for absent in ("Home", "alert", "color", "Imprint", "base64"):
        assert absent not in document.text


async def test_html_without_title_takes_the_heading(parser: IsolatedParser) -> None:
    document = await parser.parse("a.htm", "<h2>Überschrift</h2><p>x".encode("utf-16"))
    assert document == ParsedDocument("Überschrift", "## Überschrift\n\nx")


async def test_docx(parser: IsolatedParser) -> None:
    document = await parser.parse("a.docx", docx(["Text."], heading="Heading"))
    assert document == ParsedDocument("Heading", "# Heading\n\nText.")
    assert (await parser.parse("a.docx", docx(["Text."], title="The title"))).title == "The title"


async def test_pptx(parser: IsolatedParser) -> None:
    assert await parser.parse("a.pptx", pptx("Plan", "First\nSecond")) == ParsedDocument(
        "Plan", "# Plan\nFirst\nSecond"
    )


async def test_xlsx(parser: IsolatedParser) -> None:
    rows: list[list[object]] = [
        ["item", "price", "since"],
        ["logger", 120, date(2026, 3, 1)],
        ["gateway", None, None],
        [],
        ["a|b", 1.5],
    ]
    document = await parser.parse("a.xlsx", xlsx(rows))
    assert document.title == ""
    assert document.text.split("\n") == [
        "## Prices",
        "",
        "| item | price | since |",
        "| --- | --- | --- |",
        "| logger | 120 | 2026-03-01 |",
        "| gateway |  |  |",
        "| a\\|b | 1.5 |  |",
    ]


async def test_a_cell_in_the_far_corner_makes_no_giant_table(parser: IsolatedParser) -> None:
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1"/><sheetData>'
        '<row r="1"><c r="A1" t="inlineStr"><is><t>near</t></is></c></row>'
        '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row></sheetData></worksheet>'
    )
    document = await parser.parse("a.xlsx", with_parts(xlsx([["a"]]), {"xl/worksheets/sheet1.xml": sheet}))
    assert "near" in document.text
    assert "far" in document.text


async def test_pdf(parser: IsolatedParser) -> None:
    lines = ["Annual report", "The pump in Leeds failed twice.", "It was replaced in March."]
    document = await parser.parse("a.pdf", pdf(lines))
    assert document.title == "Annual report"
    assert "The pump in Leeds failed twice." in document.text
    assert (await parser.parse("a.pdf", pdf(lines, title="Report 2026"))).title == "Report 2026"


BAD = {
    "scan": ("scan.pdf", pdf([]), "contains no text, only images: run text recognition"),
    "pdf cut in half": ("a.pdf", pdf(["text"] * 20)[:200], "a.pdf"),
    "not even a pdf": ("a.pdf", b"%PDF-1.4\n" + bytes(range(256)) * 10, "a.pdf"),
    "empty html": ("a.html", b"<html><script>x</script></html>", "contains no text"),
    "invisible text": ("a.md", "\u200b\ufeff\u202e".encode(), "contains no text"),
    "empty slide": ("a.pptx", pptx("", ""), "contains no text"),
    "docx without its text": ("a.docx", archive({CONTENT_TYPES: "<Types/>", "word/x.xml": "<x/>"}), "cannot be read"),
    "broken xml": ("a.docx", with_parts(docx(), {"word/document.xml": "<w:document"}), "cannot be read"),
    "broken workbook": ("a.xlsx", with_parts(xlsx([["a"]]), {"xl/workbook.xml": "<workbook"}), "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_files_are_refused_with_the_reason(parser: IsolatedParser, case: str) -> None:
    name, data, reason = BAD[case]
    check_file(name, data, 10_000_000)
    assert reason in await refusal(parser, name, data)


async def test_deep_nesting_is_read_or_refused(parser: IsolatedParser) -> None:
    try:
        document = await parser.parse("a.html", b"<div>" * 20_000 + b"deep" + b"</div>" * 20_000)
        assert "deep" in document.text
    except Refused as refused:
        assert "nested" in str(refused)


async def test_entities_are_not_expanded(parser: IsolatedParser) -> None:
    """Had it slipped past `check_file`, a billion laughs must still end in a refusal."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    xml = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]><x>&l9;</x>'
    await refusal(parser, "a.docx", with_parts(docx(), {"word/document.xml": xml}))
    assert (await parser.parse("b.docx", docx(["fine"]))).text == "fine"


async def test_too_much_text_is_refused() -> None:
    parser = IsolatedParser(max_text_chars=100)
    assert "more than 100: split it" in await refusal(parser, "a.md", b"word " * 50)


async def test_two_files_are_read_side_by_side(parser: IsolatedParser) -> None:
    documents = await asyncio.gather(*(parser.parse(f"{n}.html", f"<p>page {n}</p>".encode()) for n in range(6)))
    assert [document.text for document in documents] == [f"page {n}" for n in range(6)]
    assert len(parser._idle) == 2


async def test_a_child_that_was_killed_between_files_is_replaced(parser: IsolatedParser) -> None:
    await parser.parse("a.html", HTML)
    for child in parser._idle:
        os.kill(child.process.pid, signal.SIGKILL)
    assert (await parser.parse("a.html", HTML)).title == "Price list"


async def test_a_child_that_is_killed_in_the_middle_costs_nothing(parser: IsolatedParser) -> None:
    task, pid = await in_the_middle(parser)
    os.kill(pid, signal.SIGKILL)
    assert "text" in (await task).text


async def test_a_slow_file_is_refused_and_its_child_ends(
    parser: IsolatedParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parser.parse("a.html", HTML)
    before = set(parser._idle)
    monkeypatch.setattr(parser, "_timeout", 0.05)
    assert await refusal(parser, "slow.html", SLOW) == "slow.html took longer than 0.05 seconds to read: split it"
    [ended] = before - set(parser._idle)
    assert not ended.alive


async def test_memory_that_ends_in_the_loader_is_no_crash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # 127 is how glibc ends a process without memory for thread-local data.
    ending = tmp_path / "reader"
    ending.write_text("#!/bin/sh\nprintf '\\000\\000\\000\\012{\"size\":0}'\nhead -c 1 >/dev/null\nexit 127\n")
    ending.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(ending))
    assert "needs more memory than a file may" in await refusal(IsolatedParser(), "a.html", HTML)


async def test_who_is_cancelled_leaves_no_child_behind(parser: IsolatedParser) -> None:
    task, pid = await in_the_middle(parser)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def in_the_middle(parser: IsolatedParser) -> tuple["asyncio.Task[ParsedDocument]", int]:
    """A file that is being read, and the process that reads it."""
    task = asyncio.create_task(parser.parse("slow.html", SLOW))
    while not parser._busy:
        await asyncio.sleep(0)
    [child] = parser._busy
    return task, child.process.pid


async def test_a_closed_parser_starts_nothing() -> None:
    parser = IsolatedParser()
    await parser.close()
    with pytest.raises(Unavailable):
        await parser.parse("a.html", HTML)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "memory"), [("docx", 800_000_000), ("html", 700_000_000)])
async def test_memory_is_limited_and_the_next_file_works(suffix: str, memory: int) -> None:
    parser = IsolatedParser(workers=1, max_memory_bytes=memory)
    data = b"<p>a<b>c</b></p>" * 200_000
    if suffix == "docx":
        namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
        paragraphs = "<w:p><w:r><w:t>text</w:t></w:r></w:p>" * 300_000
        body = f'<w:document xmlns:w="{namespace}"><w:body>{paragraphs}</w:body></w:document>'
        data = with_parts(docx(), {"word/document.xml": body})
    assert "needs more memory than a file may" in await refusal(parser, f"a.{suffix}", data)
    assert (await parser.parse("b.docx", docx(["fine"]))).text == "fine"
    await parser.close()
