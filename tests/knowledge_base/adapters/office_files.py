"""Makes real files of every kind that the parser reads, and some that it must refuse."""

import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO

CONTENT_TYPES = "[Content_Types].xml"
OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def docx(paragraphs: Sequence[str] = ("Hello world.",), heading: str = "", title: str = "") -> bytes:
    import docx

    document = docx.Document()
    document.core_properties.title = title
    if heading:
        document.add_heading(heading, 1)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    return _saved(document)


def xlsx(rows: Sequence[Sequence[object]], sheet: str = "Prices") -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = sheet
    for row in rows:
        book.active.append(list(row))
    return _saved(book)


def pptx(title: str, text: str) -> bytes:
    import pptx

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = title
    slide.placeholders[1].text = text
    return _saved(show)


def pdf(lines: Sequence[str], title: str = "", password: str = "") -> bytes:
    """One page of Helvetica; no lines make a page without text, like a scan."""
    text = " ".join(f"1 0 0 1 72 {720 - 14 * n} Tm ({_escaped(line)}) Tj" for n, line in enumerate(lines))
    stream = f"BT /F1 11 Tf {text} ET".encode("latin-1") if lines else b""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({_escaped(title)}) >>".encode("latin-1"),
    ]
    return _encrypted(_pdf_of(objects), password) if password else _pdf_of(objects)


def _pdf_of(objects: Sequence[bytes]) -> bytes:
    out, offsets = BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\n" % (len(objects) + 1))
    out.write(b"startxref\n%d\n%%%%EOF\n" % start)
    return out.getvalue()


def _encrypted(data: bytes, password: str) -> bytes:
    import pypdf

    writer = pypdf.PdfWriter(clone_from=BytesIO(data))
    writer.encrypt(password, algorithm="AES-256")
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def archive(parts: Mapping[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", compression) as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return out.getvalue()


def with_parts(data: bytes, parts: Mapping[str, bytes | str]) -> bytes:
    """An archive with parts added or replaced."""
    with zipfile.ZipFile(BytesIO(data)) as source:
        kept: dict[str, bytes | str] = {name: source.read(name) for name in source.namelist()}
    return archive(kept | dict(parts))


def _saved(document: object) -> bytes:
    out = BytesIO()
    document.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
