"""What is let in, and the reason of every refusal."""

import struct
import time
import zlib
from io import BytesIO
from zipfile import ZIP_LZMA, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge_base import files
from knowledge_base.files import SUFFIXES, FileCheck, Refused, check_file, decode_text, shown, suffix_of
from tests.knowledge_base.adapters.office_files import CONTENT_TYPES, OLE2, archive, docx, pdf, pptx, with_parts, xlsx

MEGABYTE = 1024 * 1024
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
OFFICE = {CONTENT_TYPES: "<Types/>", "word/document.xml": "<w/>"}


def refusal(name: str, data: bytes, max_bytes: int = 10 * MEGABYTE) -> str:
    with pytest.raises(Refused) as refused:
        check_file(name, data, max_bytes)
    assert refused.value.code == "refused"
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.md", b"# Title\n"),
        ("a.markdown", "Größe\n".encode()),
        ("a.TXT", "\ufeffwith a byte order mark".encode()),
        ("a.txt", "UTF-16".encode("utf-16")),
        ("a.txt", "caf\xe9 \x93quoted\x94".encode("latin-1")),
        ("a.txt", b"MZ is also how a text may begin"),
        ("a.txt", b"BM, a text"),
        ("a.txt", b"tab\tand form feed\x0c"),
        ("a.htm", b"<p>text</p>"),
        ("a.pdf", pdf(["text"])),
        ("a.docx", docx()),
        ("a.pptx", pptx("Title", "text")),
        ("a.xlsx", xlsx([["a", 1]])),
        ("chart.pptx", with_parts(pptx("T", "t"), {"ppt/embeddings/Sheet1.xlsx": xlsx([["a", 1]])})),
        ("folder/../a.b.md", b"text"),
    ],
)
def test_good_files_pass(name: str, data: bytes) -> None:
    check_file(name, data, 10 * MEGABYTE)


BAD = {
    "empty": ("a.md", b"", "is empty"),
    "white space": ("a.md", b" \n\t \r\n", "is empty"),
    "white space in UTF-16": ("a.txt", " \n ".encode("utf-16"), "is empty"),
    "empty pdf": ("a.pdf", b"", "is empty"),
    "no suffix": ("README", b"text", "is of a kind that is not supported; supported are md, markdown"),
    "unsupported": ("a.exe", b"MZ", "is of a kind that is not supported"),
    "jsonl": ("a.jsonl", b"{}", "is of a kind that is not supported"),
    "program as text": ("a.txt", b"\x7fELF\x02\x01\x01" + bytes(50), "is a program"),
    "program as pdf": ("a.pdf", b"MZ\x90\x00" + bytes(50), "is a program"),
    "program as docx": ("a.docx", b"\xcf\xfa\xed\xfe" + bytes(50), "is a program"),
    "windows program as text": ("a.txt", b"MZ\x90\x00\x03" + bytes(50), "is a program"),
    "image as pdf": ("a.pdf", PNG, "is an image"),
    "image as html": ("a.html", b"\xff\xd8\xff\xe0" + bytes(40), "is an image"),
    "gzip as text": ("a.md", b"\x1f\x8b\x08\x00" + bytes(20), "is a gzip archive"),
    "pdf as text": ("a.txt", pdf(["x"]), "is a PDF file"),
    "docx as text": ("a.md", docx(), "is a zip archive"),
    "text as pdf": ("a.pdf", b"just text", "is not a PDF file"),
    "text as docx": ("a.docx", b"just text", "is not a docx file"),
    "rtf as docx": ("a.docx", b"{\\rtf1 hello}", "is an RTF file"),
    "zip as docx": ("a.docx", archive({"a.txt": "x"}), "is a zip archive"),
    "xlsx as docx": ("a.docx", xlsx([["a"]]), "is a xlsx file"),
    "old office": ("a.docx", OLE2 + bytes(600), "is an Office 97-2003 file: save it as .docx"),
    "encrypted office": (
        "a.xlsx",
        OLE2 + bytes(600) + "EncryptedPackage".encode("utf-16-le"),
        "is encrypted: save it without a password",
    ),
    "encrypted pdf": ("report.pdf", pdf(["x"], password="secret"), "report.pdf is encrypted: save it without"),
    "nul": ("a.md", b"text\x00more", "is not a text file"),
    "binary": ("a.txt", bytes(range(256)), "is not a text file"),
    "control in latin-1": ("a.txt", b"caf\xe9 \x02", "is not a text file"),
    "UTF-32": ("a.txt", "text".encode("utf-32"), "is not a text file"),
    "broken UTF-16": ("a.txt", b"\xff\xfea\xd8b\x00", "is not a text file"),
    "virus": ("a.txt", b"x" + EICAR, "was refused by the malware scan (EICAR-Test-File)"),
    "macros": ("a.docx", with_parts(docx(), {"word/vbaProject.bin": b"x"}), "contains macros"),
    "parts outside": ("a.docx", archive(OFFICE | {"../evil": "x"}), "has parts that point outside"),
    "absolute parts": ("a.docx", archive(OFFICE | {"/etc/passwd": "x"}), "has parts that point outside"),
    "windows parts": ("a.docx", archive(OFFICE | {"word\\..\\..\\x": "x"}), "has parts that point outside"),
    "drive letter": ("a.docx", archive(OFFICE | {"C:\\x": "x"}), "has parts that point outside"),
    "nested zip": ("a.docx", archive(OFFICE | {"word/a.zip": "x"}), "has an archive inside"),
    "hidden nested zip": ("a.docx", archive(OFFICE | {"word/a.bin": archive({"x": "y"})}), "has an archive inside"),
    "entities": (
        "a.docx",
        archive(OFFICE | {"word/document.xml": '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x/>'}),
        "has a document type declaration",
    ),
    "cut in half": ("a.docx", docx()[: len(docx()) // 2], "is damaged"),
    "odd compression": ("a.docx", archive(OFFICE, ZIP_LZMA), "is damaged"),
    "many parts": ("a.docx", archive(OFFICE | {f"word/{n}": "" for n in range(5_001)}), "more than 5000 parts"),
    "bomb": ("a.docx", archive(OFFICE | {"word/bomb.xml": bytes(30 * MEGABYTE)}), "looks like a zip bomb"),
    "huge bomb": ("a.xlsx", archive({CONTENT_TYPES: "", "xl/a": bytes(201 * MEGABYTE)}), "looks like a zip bomb"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_the_reason(case: str) -> None:
    name, data, reason = BAD[case]
    started = time.perf_counter()
    message = refusal(name, data)
    assert reason in message
    assert message.startswith(name)
    assert time.perf_counter() - started < 5


def test_the_limit_is_named() -> None:
    assert refusal("a.md", b"x" * 2000, max_bytes=1000) == "a.md has 2,000 bytes, more than the limit of 1,000 bytes"
    assert "more than the limit of 1.0 MB" in refusal("a.md", b"x" * 3 * MEGABYTE, max_bytes=MEGABYTE)


def test_declared_sizes_are_not_trusted() -> None:
    """The directory says 100 bytes, 30 MB would come out."""
    data = bytearray(archive(OFFICE | {"word/bomb.xml": bytes(30 * MEGABYTE)}))
    real = struct.pack("<I", 30 * MEGABYTE)
    while (at := data.find(real)) >= 0:
        data[at : at + 4] = struct.pack("<I", 100)
    with ZipFile(BytesIO(bytes(data))) as lying:
        assert sum(entry.file_size for entry in lying.infolist()) < 1000
    assert "is damaged" in refusal("a.docx", bytes(data))


def test_overlapping_parts_are_counted_as_they_come_out() -> None:
    """Many directory entries that share one compressed block, each with an honest size."""
    body = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = body.compress(bytes(MEGABYTE)) + body.flush()
    crc = zlib.crc32(bytes(MEGABYTE))
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 33, crc, len(packed), MEGABYTE, 6, 0) + b"word/a"
    directory = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, crc, len(packed), MEGABYTE, 6, 0, 0, 0, 0, 0, 0)
        + b"word/a"
        for _ in range(300)
    )
    types = archive({CONTENT_TYPES: ""})
    entry = types[types.index(b"PK\x01\x02") : types.index(b"PK\x05\x06")]
    head = local + packed + types[: types.index(b"PK\x01\x02")]
    entry = entry[:42] + struct.pack("<I", len(local + packed)) + entry[46:]
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 301, 301, len(directory + entry), len(head), 0)
    # Newer versions of zipfile notice the overlap themselves.
    message = refusal("a.docx", head + directory + entry + end)
    assert "looks like a zip bomb" in message or "is damaged" in message


async def test_another_scanner_sees_what_the_built_in_check_lets_pass() -> None:
    class Suspicious:
        async def scan(self, data: bytes) -> str | None:
            return "Worm" if b"worm" in data else None

    check = FileCheck(1000, Suspicious())
    await check("a.txt", b"an apple")
    with pytest.raises(Refused, match="Worm"):
        await check("a.txt", b"a worm")
    with pytest.raises(Refused, match="EICAR"):
        await check("a.txt", EICAR)


def test_a_signature_is_found_inside_an_archive() -> None:
    assert "malware" in refusal("a.docx", archive(OFFICE | {"word/a.bin": EICAR}))


def test_html_is_read_in_the_charset_it_declares() -> None:
    page = '<meta charset="windows-1251"><p>Привет</p>'.encode("cp1251")
    assert "Привет" in decode_text("a.html", page)
    harmless = b'<meta charset="unicode_escape"><p>caf\xe9</p>'
    assert "café" in decode_text("a.html", harmless)


@given(
    data=st.binary(max_size=300), suffix=st.sampled_from(SUFFIXES), prefix=st.sampled_from([b"", b"PK\x03\x04", OLE2])
)
def test_nothing_but_refused_is_raised(data: bytes, suffix: str, prefix: bytes) -> None:
    try:
        check_file(f"a.{suffix}", prefix + data, 1000)
    except Refused as refused:
        assert str(refused).startswith(f"a.{suffix} ")


@given(cut=st.integers(1, 20_000), flip=st.integers(0, 20_000), value=st.integers(0, 255))
def test_damaged_archives_are_refused_or_pass(cut: int, flip: int, value: int) -> None:
    data = bytearray(archive(OFFICE | {"word/a.xml": "<a>" + "text " * 500 + "</a>"}))
    data[flip % len(data)] = value
    try:
        check_file("a.docx", bytes(data[: max(cut % (2 * len(data)), 5)]), MEGABYTE)
    except Refused:
        pass


def test_names_are_shown_safely() -> None:
    assert shown("../../etc/evil\x1b[31m\n.pdf") == "evil[31m.pdf"
    assert shown("C:\\Users\\me\\a.pdf") == "a.pdf"
    assert len(shown("x" * 500)) == 100
    assert suffix_of("C:\\x.y\\plain") == ""
    assert suffix_of("a.tar.GZ") == "gz"


def test_limits_are_what_the_documentation_says() -> None:
    assert (files.MAX_UNPACKED, files.MAX_ENTRIES, files.MAX_RATIO) == (200 * MEGABYTE, 5_000, 200)
