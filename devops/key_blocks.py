"""Private keys in the lines of a log."""

import re

KEY_LINE = 60
"""Characters of a line of a private key in PEM form; all but the last one have 64."""
SHORT_LINE = 40
"""Characters that some tools break lines at have more; a line with fewer is the last, or none of a key."""
MAX_KEY_LINES = 120
"""A key of 8192 bits has 100."""
END = "-----END"
_BEGIN = re.compile(r"-----BEGIN [\w ]*PRIVATE KEY[^-]*(?:-----)?")
_HEADER = re.compile(r"(?:^|[\s'\"])(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|MessageID): ")
_BODY = re.compile(r"[A-Za-z0-9+/]{4,}={0,2}")
_PART = re.compile(r"(?:=?[A-Za-z0-9+/_-]+={0,2})?")
_LONG = re.compile(rf"[A-Za-z0-9+/]{{{KEY_LINE},}}={{0,2}}")


class KeyBlocks:
    """Finds the private keys in the lines of one source, one after the other, also where they span several."""

    def __init__(self) -> None:
        self._block: _KeyBlock | None = None
        self._after_body = False

    def hides(self, line: str) -> bool:
        """Whether the line is of a key that began before it. Its first line is for `redact`."""
        inside = self._is_in_block(line)
        # A reader may begin in the middle of a key: its body is known by its look, its last line by the one before.
        body = _BODY.fullmatch(line.strip())
        self._after_body = body is not None and (len(body[0]) >= KEY_LINE or self._after_body)
        return inside or self._after_body

    def _is_in_block(self, line: str) -> bool:
        inside = self._block is not None and self._block.holds(line)
        begin = _BEGIN.search(line)
        if begin is not None and END not in line[begin.end() :]:
            self._block = _KeyBlock(line[: begin.start()], line[begin.end() :])
        elif END in line or (self._block is not None and self._block.lines >= MAX_KEY_LINES):
            self._block = None
        return inside


class _KeyBlock:
    """A key that has begun. Not every line after it is of it: anybody can write the first line of a key into a log.

    A logger may write something around each line, such as a time or a level, and lines of others in between. So long
    lines are known by what is in them; others have the same around them as the one before.
    """

    def __init__(self, before: str, after: str) -> None:
        self.lines = 0
        self._is_head = True
        # Where the first line stands alone, all do.
        self._stands_alone = not (before + after).strip()
        self._around: tuple[str, str] | None = (_shape(before), _shape(after))

    def holds(self, line: str) -> bool:
        """Whether this next line is of the key."""
        self.lines += 1
        if self._is_head and _HEADER.search(line):
            return True
        self._is_head = False
        if long := _LONG.search(line):
            self._around = (_shape(line[: long.start()]), _shape(line[long.end() :]))
            return True
        fits = self._fits(line)
        if self._stands_alone:
            self._around = self._around if fits else None
        elif fits and self._around and len(line) - sum(map(len, self._around)) < SHORT_LINE:
            self._around = None
        return fits or END in line

    def _fits(self, line: str) -> bool:
        if self._around is None:
            return False
        start, end = len(self._around[0]), len(line) - len(self._around[1])
        is_same = self._around == (_shape(line[:start]), _shape(line[end:]))
        return is_same and _PART.fullmatch(line[start:end]) is not None


def _shape(text: str) -> str:
    """The same for another time or number."""
    return re.sub(r"\d", "0", text)
