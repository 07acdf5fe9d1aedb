"""Takes out of documents what is about servers that stay behind: rows, items, sentences and paragraphs; dead links."""

import re
from collections.abc import Callable, Iterable, Iterator

WORDS = {
    "knowledge_base": r"(?i:knowledge[ _-]base)|\bkb_|\bKB_|\bkb://|\btriptych ingest\b",
    "devops": r"\b[Dd]ev[Oo]ps\b|\bDEVOPS_|\btests/devops|devops/",
    "support_hub": r"(?i:support[ _-]hub)|\bSUPPORT_|\b(?i:salesforce|hubspot|zendesk)|\b[Cc][Rr][Mm]s?\b|crm-sim",
    "gateway": r"infra[./]gateway|\bGATEWAY_|triptych-gateway|\bserve gateway\b|\(gateway\.md|\bthe gateway\b",
}
"""By which a text is known to be about a server."""
LEFT_BEHIND = "a test that did not come along"
_LINK = re.compile(r"!?\[([^\]]*)\]\(((?!https?://|#)[^)#\s]+)(#[^)]*)?\)")


def about(packages: Iterable[str]) -> re.Pattern[str]:
    """Finds the words of these servers."""
    return re.compile("|".join(WORDS[package] for package in packages))


def without(text: str, others: re.Pattern[str]) -> str:
    """Markdown without what names the others; a part that has nothing left goes with its heading."""
    kept = [block for block in (_block(each, others) for each in _blocks(text)) if block]
    return "\n\n".join(_filled(kept)).strip() + "\n"


def unlinked(text: str, exists: Callable[[str], bool]) -> str:
    """Links to files that are not there become plain words."""
    return _LINK.sub(lambda found: found[0] if exists(found[2]) else found[1], text)


def unnamed(text: str, package: str, exists: Callable[[str], bool]) -> str:
    """Files that are not there are not named: tests become a word, sentences and rows about others are left out."""
    path = re.compile(rf"`((?:{package}|infra|tests|docs)/[\w./*-]+)`")
    tests = path.sub(lambda found: found[0] if exists(found[1]) or found[1][:6] != "tests/" else LEFT_BEHIND, text)
    tests = tests.replace(f" ({LEFT_BEHIND})", "").replace(f". {LEFT_BEHIND}", f". {LEFT_BEHIND.capitalize()}")
    gone = {re.escape(found[0]) for found in path.finditer(tests) if not exists(found[1])}
    return without(tests, re.compile("|".join(sorted(gone)))) if gone else tests


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, lists and tables; a fence stays whole."""
    block: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        if not line.strip() and not fenced:
            yield "\n".join(block)
            block = []
        else:
            block.append(line)
    yield "\n".join(block)


def _block(block: str, others: re.Pattern[str]) -> str:
    if not others.search(block):
        return block
    lines = block.splitlines()
    if lines[0].startswith("```"):
        kept = [line for line in lines if not others.search(line)]
        return "\n".join(kept) if len(kept) > 2 else ""
    if lines[0].startswith(("|", "- ", "* ", "1. ")):
        items = [item for item in _items(lines) if not others.search(item)]
        rule = next((place for place, item in enumerate(items) if _is_rule(item)), -1)
        return "\n".join(items) if len(items) > rule + 1 else ""
    if lines[0].startswith("#"):
        return ""
    return _sentences(block, others)


def _sentences(block: str, others: re.Pattern[str]) -> str:
    """What is left of a paragraph, if it begins as before: later sentences may rest on the first."""
    sentences = re.split(r"(?<=[.!?])(?<!e\.g\.)\s+(?=[A-Z`])", block)
    kept = [sentence for sentence in sentences if not others.search(sentence)]
    return " ".join(kept) if kept and kept[0] == sentences[0] else ""


def _items(lines: list[str]) -> list[str]:
    """Rows of a table, or items of a list with their further lines."""
    items: list[str] = []
    for line in lines:
        if items and line.startswith("  "):
            items[-1] += f"\n{line}"
        else:
            items.append(line)
    return items


def _is_rule(row: str) -> bool:
    return bool(re.fullmatch(r"\|[-|: ]+\|", row))


def _filled(blocks: list[str]) -> Iterator[str]:
    """Without headings that nothing follows but a heading of the same rank or a higher one."""
    for place, block in enumerate(blocks):
        rank = _rank(block)
        following = _rank(blocks[place + 1]) if place + 1 < len(blocks) else 1
        if not rank or place == 0 or not following or following > rank:
            yield block


def _rank(block: str) -> int:
    found = re.match(r"(#+) ", block)
    return len(found[1]) if found and "\n" not in block else 0
