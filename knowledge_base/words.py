"""Words of any script."""

import re
import unicodedata
from itertools import groupby


def _marks() -> str:
    """Ranges of the marks with which many scripts write vowels, and which `\\w` leaves out."""
    planes = (0x300, 0x20000), (0xE0100, 0xE01F0)
    found = [code for plane in planes for code in range(*plane) if unicodedata.category(chr(code))[0] == "M"]
    runs = (list(run) for _, run in groupby(enumerate(found), key=lambda item: item[1] - item[0]))
    return "".join(f"\\U{run[0][1]:08x}-\\U{run[-1][1]:08x}" for run in runs)


WORD = re.compile(rf"\w+(?:[{_marks()}]+\w*)*")
