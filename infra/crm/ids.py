"""Record ids as the platforms write them."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def salesforce_id(prefix: str, number: int) -> str:
    """Id of 18 characters: key prefix, instance, number in base 62, and the suffix that makes it safe to fold case."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _ALPHABET[rest] + digits
    return with_check(f"{prefix}FK{digits.rjust(10, '0')}")


def with_check(fifteen: str) -> str:
    """The 18 characters of a 15 character id: one more for each five, whose bits say which of them are capitals."""
    parts = (fifteen[start : start + 5] for start in (0, 5, 10))
    return fifteen + "".join(_CHECK[sum(char.isupper() << place for place, char in enumerate(part))] for part in parts)


def is_salesforce_id(value: str) -> bool:
    """15 or 18 characters that could be an id."""
    if not (value.isascii() and value.isalnum()):
        return False
    return len(value) == 15 or (len(value) == 18 and with_check(value[:15]) == value)
