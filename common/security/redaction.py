"""Takes secrets and personal data out of what is written to logs: rather too much than too little."""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache, partial
from itertools import accumulate, islice
from typing import TypeAlias

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

REDACTED = "[redacted]"
MAX_TEXT = 500
MAX_ITEMS = 20
MAX_KEYS = 50
MAX_DEPTH = 6
MAX_VALUES = 500
"""Values kept in all: bounds time and size where every list and mapping is within its own limit."""
MAX_CHARACTERS = 50_000
"""Characters looked at in all: bounds the time. Room for two tracebacks, or for fifty long texts of a call."""
SHORT = 256
"""Texts that are always looked at: names, which say what a record is about. MAX_VALUES bounds how many there are."""
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

_KEY = "(?:api|access|account|private|shared)"
_NAME = rf"(?:passw(?:or)?d|passphrase|pwd|secret|token|{_KEY}[ _-]?key|credential)"
_VALUE = r"""(?:[\[{][^\]}]*|\\?"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s;&"']+)"""


def _unless_kept(replacement: str) -> Callable[[re.Match[str]], str]:
    """Replace a match, but one that has the group `kept`."""
    return lambda match: match[0] if match.lastgroup == "kept" else match.expand(replacement)


# What a lower-case text must contain for the pattern to be tried; the pattern; its replacement. The order matters:
# the end of a URL's password looks like an e-mail address. Each takes a time that grows with the text and no faster:
# a start that leads to nothing takes (and keeps) all of the run in which other starts would lead to nothing, too.
_SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (("-----begin",), re.compile(r"-----BEGIN [\w ]*PRIVATE KEY.*?(?:-----END [^-]*-----|\Z)", re.S), REDACTED),
    (
        ("://",),
        re.compile(r"""(://[^\s:/@]*+)(?::[^\s"'<>]*@|(?P<kept>(?=:)(?:[^\s"'<>]*(?=://))?))"""),
        _unless_kept(rf"\1:{REDACTED}@"),
    ),
    (("authorization",), re.compile(r"""(?i)(authorization["'\\]*\s*[:=]\s*)[^\r\n]+"""), rf"\1{REDACTED}"),
    (("cookie",), re.compile(r"""(?i)(cookie["'\\]*\s*[:=]\s*)[^\r\n]+"""), rf"\1{REDACTED}"),
    (("bearer",), re.compile(r"""(?i)(bearer\s+)[^\s"',;]+"""), rf"\1{REDACTED}"),
    (("eyj",), re.compile(r"eyJ[\w-]{4,}+(?:(?:\.[\w-]*)+|(?P<kept>))"), _unless_kept(REDACTED)),
    (("tk_",), re.compile(r"(?<![A-Za-z0-9])(tk_[A-Za-z0-9]+)_[\w-]+"), rf"\1_{REDACTED}"),
    (("akia", "asia"), re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{12,}"), REDACTED),
    (
        ("ghp_", "gho_", "ghs_", "github_pat_", "xox", "sk-", "sk_", "hvs.", "pat-"),
        re.compile(r"\b(?:gh[opsur]_|github_pat_|glpat-|xox[a-z]-|sk[-_]|hvs\.|pat-)[\w-]{16,}"),
        REDACTED,
    ),
    # A run that is kept may end with the first word of `api key`, which is a start of its own.
    (
        ("=", ":"),
        re.compile(
            rf"""(?i)({_NAME})(?:([\w-]*+["'\\]*\s*[=:]\s*){_VALUE}|(?P<kept>[\w-]*(?={_KEY}[ ]key)|[\w-]*+))"""
        ),
        _unless_kept(rf"\1\2{REDACTED}"),
    ),
    (
        ("--",),
        re.compile(rf"(?i)(--{_NAME})(?:([\w-]*+\s+){_VALUE}|(?P<kept>[\w-]*(?=--{_KEY}[ ]key)|[\w-]*+))"),
        _unless_kept(rf"\1\2{REDACTED}"),
    ),
)
_EMAIL = (("@", "%40"), re.compile(r"(?<![\w.+'-])[\w.+'-]++(?:@|%40)[\w-]+(?:\.[\w-]+)+"), "[email]")
_RULES = (*_SECRETS, _EMAIL)
# Short ones are the most frequent, and the first that is found ends the search.
_NEEDLES = tuple(sorted((needle for needles, _, _ in _RULES for needle in needles), key=len))
_OPTION = re.compile(r"--?[\w.-]{1,62}")
_NUMBER = re.compile(r"[+(\d][\d ()./+-]{6,}+")
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
        self.window = max_text + 2 * MARGIN
        self.left = MAX_VALUES
        self.characters = MAX_CHARACTERS

    def value(self, value: object, depth: int) -> JSON:
        self.left -= 1
        if isinstance(value, str):
            if (size := len(value)) > SHORT:
                self.characters -= size if size < self.window else self.window
                if self.characters < 0:
                    return f"[{size} characters]"
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
            name, mark = _key(key) if isinstance(key, str) and len(key) <= 64 else self.long_key(key)
            # Under a key such as `email_settings` or `phone_verified` there is no address or number itself.
            if mark and (mark == REDACTED or not (item is None or isinstance(item, (bool, Mapping)))):
                clean[name] = mark
                self.left -= 1
            else:
                clean[name] = self.value(item, depth - 1)
        if len(value) > kept:
            clean["[more]"] = len(value) - kept
        return clean

    def long_key(self, key: object) -> tuple[str, str | None]:
        if isinstance(key, str):
            self.characters -= len(key)
            if self.characters < 0:
                return f"[{len(key)} characters]", REDACTED
        return _describe_key(key)

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
    return "[card]" if value > 10**12 and _hold_card([str(value)]) else value


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


def _marked(replacement: str | Callable[[re.Match[str]], str], mark: Callable[[str], str], match: re.Match[str]) -> str:
    replaced = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
    return replaced.replace(REDACTED, mark(match[0]))


def _mask_number(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    masked = _PHONE.sub("[phone]", _CARD.sub(_mask_card, f"{before}{match[0]}{after}"))
    return masked[len(before) : len(masked) - len(after)]


def _mask_card(match: re.Match[str]) -> str:
    return "[card]" if _hold_card(re.split("[ -]", match[0])) else match[0]


def _hold_card(groups: list[str]) -> bool:
    """Whether some of these groups of digits, side by side, are the number of a card (13 to 19 digits, Luhn's sum)."""
    digits = "".join(groups)
    ends = list(accumulate(map(len, groups), initial=0))
    # Every other digit counts doubled, seen from the last: one row of sums for numbers that end at an even place.
    sums = [list(accumulate(_luhn(digits, parity), initial=0)) for parity in (0, 1)]
    return any(
        13 <= end - start <= 19 and (sums[end % 2][end] - sums[end % 2][start]) % 10 == 0
        for first, start in enumerate(ends[:-1])
        # All networks' numbers start with 2 to 6; a time in milliseconds starts with 1.
        if digits[start] in "23456"
        for end in ends[first + 1 :]
    )


def _luhn(digits: str, parity: int) -> Iterator[int]:
    for place, digit in enumerate(digits):
        yield int(digit) if place % 2 != parity else sum(divmod(2 * int(digit), 10))
