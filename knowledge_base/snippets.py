"""The part of a passage that shows why it was found."""

import re

_WORD = re.compile(r"\w+")


def snippet(text: str, query: str, width: int = 320) -> str:
    """The window of about `width` characters with the most different query words, cut at word ends."""
    flat = " ".join(text.split())
    if len(flat) <= width:
        return flat
    wanted = {word.lower() for word in _WORD.findall(query) if len(word) > 2}
    found = [
        (match.start(), match.group().lower()) for match in _WORD.finditer(flat) if match.group().lower() in wanted
    ]
    start = _best_start(found, width, len(flat))
    end = min(len(flat), start + width)
    start = flat.find(" ", start) + 1 if start else 0
    end = flat.rfind(" ", start, end) if end < len(flat) else end
    return f"{'… ' if start else ''}{flat[start:end]}{' …' if end < len(flat) else ''}"


def _best_start(found: list[tuple[int, str]], width: int, length: int) -> int:
    best, best_count, first = 0, 0, 0
    inside: dict[str, int] = {}
    for position, word in found:
        inside[word] = inside.get(word, 0) + 1
        while position - found[first][0] > width * 0.8:
            gone = found[first][1]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            first += 1
        if len(inside) > best_count:
            best, best_count = found[first][0], len(inside)
    return max(0, min(best - width // 10, length - width))
