"""Cleans extracted text, and finds its title."""

import re
import unicodedata

# C0 but tab and newline, C1, soft hyphen, zero-width and direction marks, surrogates, byte order mark, and the tag
# characters, which can hide a text in a text.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)
_BREAK = re.compile("\r\n?|[\x0b\x85\u2028]")
_PAGE_BREAK = re.compile("[\x0c\u2029]")
# Composition is quadratic in the length of a run of marks: short runs keep hostile text linear.
_COMPOSABLE = re.compile(r"\S?[^\x00-\u02ff\s]{1,64}")
_DATA_URI = re.compile(r"data:[\w.+-]{1,80}/[\w.+-]{1,80}(?:;[\w.=-]{1,80}){0,3};base64(?:,[A-Za-z0-9+/=_-]*|\.\.\.)")
_EMPTY_IMAGE = re.compile(r"!\[([^\]\n]{0,500})\]\(\s{0,9}\)")
_BLANK_LINES = re.compile(r"\n{4,}")
_HEADING = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(\S[^\n]{0,300})$|^(?![-=]+$)(\S[^\n]{0,200})\n {0,3}(?:=+|-{2,})[ \t]*$", re.MULTILINE
)
_FRONT = re.compile(r"\A---\n(?:(?!---[ \t]*$)(?:[\w-]+:|[ \t#]|-(?![\w-]*:))[^\n]*\n)*---[ \t]*$", re.MULTILINE)
_FRONT_TITLE = re.compile(r"^title:[ \t]*([^\n]{1,300})$", re.MULTILINE)
MAX_TITLE = 200


def clean(text: str) -> str:
    """Unix line ends, NFC, no control or invisible characters, no embedded data, at most two blank lines in a row."""
    text = _INVISIBLE.sub("", _BREAK.sub("\n", _PAGE_BREAK.sub("\n\n", text)))
    text = _COMPOSABLE.sub(lambda match: unicodedata.normalize("NFC", match.group()), text)
    if "base64" in text:
        text = _EMPTY_IMAGE.sub(r"\1", _DATA_URI.sub("", text))
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n\n", lines).strip("\n")


def first_heading(text: str) -> str:
    """The title in the front matter or the first heading, empty if there is neither."""
    front = _FRONT.match(text)
    end = front.end() if front else 0
    if named := _FRONT_TITLE.search(text, 0, end):
        return one_line(named[1].strip("'\""))
    match = _HEADING.search(text, end)
    return one_line((match[1] or match[2]).rstrip("# \t")) if match else ""


def one_line(title: str) -> str:
    """A title in one line, of at most 200 characters."""
    return " ".join(clean(title[: 4 * MAX_TITLE]).split())[:MAX_TITLE]
