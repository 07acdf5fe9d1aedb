"""Telephone numbers in one form: E.164, as `+441314960641`."""

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberFormat


@lru_cache(maxsize=20_000)
def normalised(text: str, region: str) -> str:
    """The number in E.164, or nothing if it is none. `region` (ISO 3166) is for numbers without a country code."""
    try:
        # Metadata of all countries would refuse the numbers that are reserved for examples.
        number = phonenumbers.parse(text, region if region in phonenumbers.SUPPORTED_REGIONS else None)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(number):
        return ""
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def digit_spellings(number: str) -> list[str]:
    """The digits of an E.164 number, as they stand in the ways that people type it."""
    parsed = phonenumbers.parse(number)
    code, rest = str(parsed.country_code), str(parsed.national_number)
    national = re.sub(r"\D", "", phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))
    return list(dict.fromkeys([code + rest, national, code + national]))


def spellings(number: str) -> list[str]:
    """How people may have typed an E.164 number: whoever cannot search by digits has to ask for each of them."""
    parsed = phonenumbers.parse(number)
    national = phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL)
    international = phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL)
    code, rest = f"+{parsed.country_code}", str(parsed.national_number)
    digits = re.sub(r"\D", "", national)
    trunk = f"{code} (0){rest}" if digits.startswith("0") else ""
    return list(dict.fromkeys(filter(None, (number, digits, national, international, trunk))))
