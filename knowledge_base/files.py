"""What may come in as a file: kind, size, encoding, archives, encryption, malware. Nothing here opens a parser.

`check_file` reads whole files (an archive is unpacked once, in memory, piece by piece), so it belongs off the event
loop, where `FileCheck` runs it.
"""

import asyncio
import re
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

from common.files import Refused, Scanner, shown
from common.files.scanner import found_eicar

__all__ = ["SUFFIXES", "FileCheck", "Refused", "check_file", "decode_text", "shown", "suffix_of"]

TEXT_SUFFIXES = ("md", "markdown", "txt", "html", "htm")
OFFICE_FOLDERS = {"docx": "word/", "pptx": "ppt/", "xlsx": "xl/"}
SUFFIXES = (*TEXT_SUFFIXES, "pdf", *OFFICE_FOLDERS)

MAX_UNPACKED = 200 * 1024 * 1024
MAX_ENTRIES = 5_000
MAX_RATIO = 200
_RATIO_FROM = 1024 * 1024  # a ratio says nothing about a few kilobytes
_BLOCK = 1024 * 1024

_ZIP = b"PK\x03\x04"
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_OFFICE = "EncryptedPackage".encode("utf-16-le")
_ENCRYPTED_PDF = re.compile(rb"/Encrypt\s*(?:\d{1,10}\s+\d{1,5}\s+R|<<)")
_DTD = re.compile(rb"<!(?:DOCTYPE|ENTITY)")
_NESTED = re.compile(r"\.(?:zip|jar|7z|rar|gz|tgz|tar|bz2|xz)$", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w-]{1,40})", re.IGNORECASE)
_LEGACY_CHARSETS = re.compile(r"(?:windows-125|iso-8859-|koi8-|euc-|shift_jis|gb|big5)[\w-]{0,10}", re.IGNORECASE)

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF file"),
    (_ZIP, "a zip archive"),
    (_OLE2, "an Office 97-2003 or encrypted Office file"),
    (b"\x7fELF", "a program"),
    (b"\xfe\xed\xfa\xce", "a program"),
    (b"\xfe\xed\xfa\xcf", "a program"),
    (b"\xce\xfa\xed\xfe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\x89PNG\r\n", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF87a", "an image"),
    (b"GIF89a", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"{\\rtf", "an RTF file"),
    (b"SQLite format 3\x00", "a database"),
)
# Two letters can begin a text as well: these count only for what is no text.
_SHORT_SIGNATURES = ((b"MZ", "a program"), (b"BM", "an image"), (b"BZh", "a bzip2 archive"), (b"RIFF", "a media file"))


def suffix_of(name: str) -> str:
    """Lower-case suffix without the dot, empty if there is none."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return base.rpartition(".")[2].lower() if "." in base else ""


class FileCheck:
    """Everything that a file must pass before it is stored."""

    def __init__(self, max_bytes: int, scanner: Scanner) -> None:
        self._max_bytes = max_bytes
        self._scanner = scanner

    async def __call__(self, name: str, data: bytes) -> None:
        """Raises Refused with the reason, Unavailable if the scanner does not answer."""
        # It may inflate an archive, which takes a while.
        await asyncio.to_thread(check_file, name, data, self._max_bytes)
        if found := await self._scanner.scan(data):
            raise _infected(name, found)


def check_kind(name: str) -> str:
    """The suffix of a file that may come in, or raise Refused."""
    suffix = suffix_of(name)
    if suffix not in SUFFIXES:
        raise Refused(f"{shown(name)} is of a kind that is not supported; supported are {', '.join(SUFFIXES)}")
    return suffix


def check_file(name: str, data: bytes, max_bytes: int) -> None:
    """What can be said without a scanner: raises Refused with the reason."""
    suffix = check_kind(name)
    if len(data) > max_bytes:
        raise Refused(f"{shown(name)} has {_size(len(data))}, more than the limit of {_size(max_bytes)}")
    if not data.strip():
        raise Refused(f"{shown(name)} is empty")
    if found := found_eicar(data):
        raise _infected(name, found)
    if suffix in TEXT_SUFFIXES:
        if not decode_text(name, data).strip():
            raise Refused(f"{shown(name)} is empty")
    elif suffix == "pdf":
        _check_pdf(name, data)
    else:
        _check_office(name, suffix, data)


def decode_text(name: str, data: bytes) -> str:
    """The text of a text file: UTF-8, UTF-16 with a byte order mark, or a one-byte charset; raises Refused."""
    if kind := _signature(data, _SIGNATURES):
        raise Refused(_misnamed(name, kind))
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = _decode_legacy(name, data)
    if "\x00" in text:
        raise Refused(_not_text(name, data))
    return text


def _decode_legacy(name: str, data: bytes) -> str:
    declared = _CHARSET.search(data[:2048]) if suffix_of(name) in ("html", "htm") else None
    charset = declared[1].decode("ascii", "replace") if declared else ""
    try:
        text = data.decode(charset if _LEGACY_CHARSETS.fullmatch(charset) else "cp1252")
    except (LookupError, UnicodeDecodeError):
        text = data.decode("latin-1")
    # Latin-1 decodes anything; real text of it has no control characters.
    if _CONTROL.search(text) or re.search(r"[\x80-\x9f]", text):
        raise Refused(_not_text(name, data))
    return text


def _check_pdf(name: str, data: bytes) -> None:
    if b"%PDF-" not in data[:1024]:
        raise Refused(_misnamed(name, _signature(data, _SIGNATURES + _SHORT_SIGNATURES) or "not a PDF file"))
    if _ENCRYPTED_PDF.search(data):
        raise Refused(_encrypted(name))


def _check_office(name: str, suffix: str, data: bytes) -> None:
    if data.startswith(_OLE2):
        if _ENCRYPTED_OFFICE in data:
            raise Refused(_encrypted(name))
        raise Refused(f"{shown(name)} is an Office 97-2003 file: save it as .{suffix} and add it again")
    if not data.startswith(_ZIP):
        kind = _signature(data, _SIGNATURES + _SHORT_SIGNATURES) or f"not a {suffix} file"
        raise Refused(_misnamed(name, kind))
    try:
        _check_archive(name, suffix, data)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise Refused(f"{shown(name)} is damaged: open it, save it and add it again") from error


def _check_archive(name: str, suffix: str, data: bytes) -> None:
    # Counted before the directory is parsed, which for a million entries would itself be the attack.
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise Refused(f"{shown(name)} has more than {MAX_ENTRIES} parts inside")
    with zipfile.ZipFile(BytesIO(data)) as archive:
        entries = archive.infolist()
        _check_entries(name, suffix, entries)
        if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
            raise Refused(_bomb(name))
        total = 0
        for entry in entries:
            # The declared sizes may lie, so what really comes out is counted.
            for number, block in enumerate(_blocks(archive, entry)):
                if number == 0:
                    _check_part(name, entry.filename, block)
                if found := found_eicar(block):
                    raise _infected(name, found)
                total += len(block)
                if total > min(MAX_UNPACKED, max(_RATIO_FROM, MAX_RATIO * len(data))):
                    raise Refused(_bomb(name))


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(entry) as part:
        while block := part.read(_BLOCK):
            yield block


def _check_entries(name: str, suffix: str, entries: list[zipfile.ZipInfo]) -> None:
    names = {entry.filename for entry in entries}
    if any(entry.flag_bits & 1 for entry in entries):
        raise Refused(_encrypted(name))
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise zipfile.BadZipFile("a compression that Office does not use")
    if any(_leaves_archive(entry) for entry in names):
        raise Refused(f"{shown(name)} has parts that point outside of it")
    if any(entry.lower().endswith("vbaproject.bin") for entry in names):
        raise Refused(f"{shown(name)} contains macros: save it without them and add it again")
    kinds = [kind for kind, folder in OFFICE_FOLDERS.items() if any(entry.startswith(folder) for entry in names)]
    if "[Content_Types].xml" not in names or not kinds:
        raise Refused(_misnamed(name, "a zip archive"))
    if suffix not in kinds:
        raise Refused(_misnamed(name, f"a {kinds[0]} file"))


def _check_part(name: str, part: str, head: bytes) -> None:
    """Look at the first bytes of a part."""
    # Word and PowerPoint keep the sheet behind a chart as a workbook of its own, which no parser here opens.
    is_embedded = "/embeddings/" in part and suffix_of(part) in OFFICE_FOLDERS
    if _NESTED.search(part) or (head.startswith(_ZIP) and not is_embedded):
        raise Refused(f"{shown(name)} has an archive inside: take it out and add it again")
    if suffix_of(part) in ("xml", "rels") and _DTD.search(head, 0, 4096):
        raise Refused(f"{shown(name)} has a document type declaration inside, which Office files never have")


def _infected(name: str, found: str) -> Refused:
    return Refused(f"{shown(name)} was refused by the malware scan ({found})")


def _leaves_archive(entry: str) -> bool:
    path = entry.replace("\\", "/")
    return path.startswith("/") or path[1:2] == ":" or ".." in path.split("/")


def _signature(data: bytes, signatures: tuple[tuple[bytes, str], ...]) -> str:
    return next((kind for magic, kind in signatures if data.startswith(magic)), "")


def _not_text(name: str, data: bytes) -> str:
    kind = _signature(data, _SHORT_SIGNATURES) or "not a text file"
    return f"{shown(name)} is {kind}: save it as UTF-8 text, or in a supported format"


def _misnamed(name: str, kind: str) -> str:
    return f"{shown(name)} is {kind}, other than its name says: save it in a supported format and add it again"


def _encrypted(name: str) -> str:
    return f"{shown(name)} is encrypted: save it without a password and add it again"


def _bomb(name: str) -> str:
    return f"{shown(name)} unpacks to far more than its size: it looks like a zip bomb"


def _size(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB" if size >= 1024 * 1024 else f"{size:,} bytes"
