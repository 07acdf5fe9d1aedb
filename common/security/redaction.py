"""Takes secrets and personal data out of what is written to logs: rather too much than too little."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache, partial
from itertools import islice
from typing import TypeAlias

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

REDACTED = "[redacted]"
MAX_TEXT = 500
MAX_ITEMS = 20
MAX_KEYS = 50
MAX_DEPTH = 6
MAX_VALUES = 500
"""Values kept in all: bounds time and size where every list and mapping is within its own limit."""
MARGIN = 250
"""Longest thing that a cut could leave half, and so unrecognised."""

_SECRET_KEY = re.compile(
    r"passw|passphrase|passcode|secret|token|bearer|authorization|cookie|credential|connectionstring|signature|sessionid"
    r"|(?:api|access|private|signing|encryption|master|ssh|account|shared|session|license)key"
)
_MARKS = (
    (REDACTED, frozenset({"auth", "cvc", "cvv", "dsn", "jwt", "otp", "pass", "pin", "pwd", "sid", "ssn"})),
    ("[email]", frozenset({"email", "emails", "mail"})),
    ("[phone]", frozenset({"cellphone", "fax", "mobile", "phone", "phones", "tel", "telephone"})),
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_NAME = r"(?:passw(?:or)?d|passphrase|pwd|secret|token|(?:api|access|account|private|shared)[ _-]?key|credential)[\w-]*"
_VALUE = r"""(?:[\[{][^\]}]*|\\?"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s;&"']+)"""

# What a lower-case text must contain for the pattern to be tried; the pattern; its replacement. The order matters:
# the end of a URL's password looks like an e-mail address.
_SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (("-----begin",), re.compile(r"-----BEGIN [\w ]*PRIVATE KEY.*?(?:-----END [^-]*-----|\Z)", re.S), REDACTED),
    (("://",), re.compile(r"""(://[^\s:/@]*):[^\s"'<>]*@"""), rf"\1:{REDACTED}@"),
    (("authorization",), re.compile(r"""(?i)(authorization["'\\]*\s*[:=]\s*)[^\r\n]+"""), rf"\1{REDACTED}"),
    (("cookie",), re.compile(r"""(?i)(cookie["'\\]*\s*[:=]\s*)[^\r\n]+"""), rf"\1{REDACTED}"),
    (("bearer",), re.compile(r"""(?i)(bearer\s+)[^\s"',;]+"""), rf"\1{REDACTED}"),
    (("eyj",), re.compile(r"eyJ[\w-]{4,}(?:\.[\w-]*)+"), REDACTED),
    (("tk_",), re.compile(r"(?<![A-Za-z0-9])(tk_[A-Za-z0-9]+)_[\w-]+"), rf"\1_{REDACTED}"),
    (("akia", "asia"), re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{12,}"), REDACTED),
    (
        ("ghp_", "gho_", "ghs_", "github_pat_", "xox", "sk-", "sk_", "hvs.", "pat-"),
        re.compile(r"\b(?:gh[opsur]_|github_pat_|glpat-|xox[a-z]-|sk[-_]|hvs\.|pat-)[\w-]{16,}"),
        REDACTED,
    ),
    (("=", ":"), re.compile(rf"""(?i)({_NAME}["'\\]*\s*[=:]\s*){_VALUE}"""), rf"\1{REDACTED}"),
    (("--",), re.compile(rf"(?i)(--{_NAME}\s+){_VALUE}"), rf"\1{REDACTED}"),
)
_EMAIL = (("@", "%40"), re.compile(r"(?<![\w.+'-])[\w.+'-]++(?:@|%40)[\w-]+(?:\.[\w-]+)+"), "[email]")
_RULES = (*_SECRETS, _EMAIL)
_NEEDLES = tuple(needle for needles, _, _ in _RULES for needle in needles)
_OPTION = re.compile(r"--?[\w.-]{1,62}")
_NUMBER = re.compile(r"[+(\d][\d ()./-]{5,}\d")
_CARD = re.compile(r"(?<!\d)[2-6](?:[ -]?\d){12,30}(?!\d)")
_PHONE = re.compile(
    r"(?<![\w+/])(?:\+\(?|00)[1-9][\d ()./-]{5,24}\d"  # +49 30 1234567, 0049 30 1234567
    r"|(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])"  # (555) 123-4567
    r"|(?<![\w./-])0[1-9]\d{1,3}[ /-]\d{4,9}(?!\w)"  # 030 1234567
)


def redact(value: object, max_text: int = MAX_TEXT) -> JSON:
    """A copy that may be written down: JSON, bounded in size, without secrets. Never raises."""
    try:
        return _Walk(max_text).value(value, MAX_DEPTH)
    except Exception:
        # An object whose own methods fail: nothing of it is kept.
        return "[unreadable]"


def without_secrets(name: str, text: str, max_text: int, mark: Callable[[str], str]) -> str:
    """A named text for whoever has to judge it: only secrets are taken, and `mark` says what stands for each."""
    if _key(name)[1] == REDACTED:
        return mark(text)
    return _text(text, max_text, mark)


def names_secret(item: object) -> bool:
    """Whether this item of an argument list is a bare option, such as `--db-password`, whose value comes next."""
    return isinstance(item, str) and _OPTION.fullmatch(item) is not None and _key(item)[1] == REDACTED


class _Walk:
    """One pass over one value."""

    def __init__(self, max_text: int) -> None:
        self.max_text = max_text
        self.left = MAX_VALUES

    def value(self, value: object, depth: int) -> JSON:
        self.left -= 1
        if isinstance(value, str):
            return _text(value, self.max_text)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return _number(value)
        if isinstance(value, (dict, Mapping)):
            return self.mapping(value, depth) if depth else "[too deep]"
        if isinstance(value, (list, tuple, set, frozenset)):
            return self.items(value, depth) if depth else "[too deep]"
        return f"[{type(value).__name__}]"

    def mapping(self, value: Mapping[object, object], depth: int) -> JSON:
        kept = max(0, min(MAX_KEYS, self.left))
        clean: dict[str, JSON] = {}
        for key, item in islice(value.items(), kept):
            name, mark = _key(key) if isinstance(key, str) and len(key) <= 64 else _describe_key(key)
            # Under a key such as `email_settings` or `phone_verified` there is no address or number itself.
            if mark and (mark == REDACTED or not (item is None or isinstance(item, (bool, Mapping)))):
                clean[name] = mark
            else:
                clean[name] = self.value(item, depth - 1)
        if len(value) > kept:
            clean["[more]"] = len(value) - kept
        return clean

    def items(self, value: Collection[object], depth: int) -> JSON:
        kept = max(0, min(MAX_ITEMS, self.left))
        clean: list[JSON] = []
        before: object = None
        for item in islice(value, kept):
            clean.append(REDACTED if names_secret(before) else self.value(item, depth - 1))
            before = item
        if len(value) > kept:
            clean.append(f"[{len(value) - kept} more]")
        return clean


def _describe_key(key: object) -> tuple[str, str | None]:
    """The key as it may be written, and what stands for its value if that may not be."""
    if not isinstance(key, str):
        return (str(key) if isinstance(key, (int, float)) or key is None else f"[{type(key).__name__}]"), None
    if _SECRET_KEY.search(re.sub(r"[\W_]+", "", key.lower())):
        return _text(key, MARGIN), REDACTED
    words = {word.lower() for word in _WORD.findall(key)}
    return _text(key, MARGIN), next((mark for mark, known in _MARKS if words & known), None)


_key = lru_cache(maxsize=2048)(_describe_key)


def _number(value: int | float) -> JSON:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value.bit_length() > 63:
        return "[int]"
    return "[card]" if value > 10**12 and _is_card(str(value)) else value


def _text(text: str, limit: int, mark: Callable[[str], str] | None = None) -> str:
    if len(text) < 6 or (len(text) < 16 and text.isalpha()):
        return text
    # Only what can be kept is looked at, and a little more: something that the first cut left half is cut off again.
    window = text[: limit + 2 * MARGIN]
    clean = _scrub(window) if mark is None else _mark_secrets(window, mark)
    kept = limit if len(window) == len(text) else min(limit, max(0, len(clean) - MARGIN))
    return clean if len(clean) <= kept else f"{clean[:kept]}… [{len(text)} characters]"


def _scrub(text: str) -> str:
    lowered = text.lower()
    if any(map(lowered.__contains__, _NEEDLES)):
        for needles, pattern, replacement in _RULES:
            if any(map(lowered.__contains__, needles)):
                text = pattern.sub(replacement, text)
    return _NUMBER.sub(_mask_number, text)


def _mark_secrets(text: str, mark: Callable[[str], str]) -> str:
    lowered = text.lower()
    for needles, pattern, replacement in _SECRETS:
        if any(map(lowered.__contains__, needles)):
            text = pattern.sub(partial(_marked, replacement, mark), text)
    return text


def _marked(replacement: str, mark: Callable[[str], str], match: re.Match[str]) -> str:
    return match.expand(replacement).replace(REDACTED, mark(match[0]))


def _mask_number(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    masked = _PHONE.sub("[phone]", _CARD.sub(_mask_card, f"{before}{match[0]}{after}"))
    return masked[len(before) : len(masked) - len(after)]


def _mask_card(match: re.Match[str]) -> str:
    groups = re.split("[ -]", match[0])
    spans = ("".join(groups[start:end]) for start in range(len(groups)) for end in range(start + 1, len(groups) + 1))
    return "[card]" if any(_is_card(span) for span in spans) else match[0]


def _is_card(digits: str) -> bool:
    # All networks' numbers start with 2 to 6; a time in milliseconds starts with 1.
    if not (13 <= len(digits) <= 19 and digits[0] in "23456"):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
