"""No secret survives, at any place; what is harmless does."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.security.redaction import (
    JSON,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_KEYS,
    MAX_TEXT,
    MAX_VALUES,
    redact,
)

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----"
# What a text may hold, and the part of it that must be gone.
SECRETS = {
    "Authorization: Bearer abc.def-123": "abc.def-123",
    "authorization=Basic dXNlcjpwYXNz": "dXNlcjpwYXNz",
    '{"Authorization": "Digest username=x, response=6629fae49393a053"}': "6629fae49393a053",
    "the bearer s3cr3t-t0ken was sent": "s3cr3t-t0ken",
    "Set-Cookie: session=abcdef; Path=/": "abcdef",
    f"got {JWT} back": "eyJzdWIiOiJhbGljZSJ9",
    "tk_0a1b2c3d4e5f_Zm9vYmFyYmF6cXV4": "Zm9vYmFyYmF6cXV4",
    "key AKIAIOSFODNN7EXAMPLE is ours": "AKIAIOSFODNN7EXAMPLE",
    f"the key:\n{PEM}\nends": "MIIEpAIBAAKCAQEA",
    "-----BEGIN PRIVATE KEY-----\nMIICdgIBADANBgkq": "MIICdgIBADANBgkq",
    "postgresql://app:hunter2@db:5432/shop": "hunter2",
    "mongodb://app:p@ss/w0rd@one,two/shop": "w0rd",
    "Server=db;User=sa;Password=hunter2;Encrypt=yes": "hunter2",
    "AccountName=shop;AccountKey=c2VjcmV0a2V5;": "c2VjcmV0a2V5",
    'log: {"user": "bob", "password": "correct horse"}': "correct horse",
    '"{\\"api_key\\": \\"abc123\\"}"': "abc123",
    "mysql --user=bob --password hunter2 shop": "hunter2",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345": "abcdefghij",
    "write to alice.smith+x@mail.example.com please": "alice",
    "https://shop.example/u?mail=alice%40example.com": "alice",
    "call +49 (0) 30 / 123 45-678 today": "123 45",
    "call 0049 30 1234567": "1234567",
    "call (555) 123-4567 or 555-123-4567": "4567",
    "call 030 1234567": "1234567",
    "paid with 4111 1111 1111 1111, 12/27, 123": "1111",
    "card:5500-0000-0000-0004": "5500",
    "card 4111 1111 1111 1111 123": "1111",
    "378282246310005": "8282",
}
SECRET_KEYS = """
    password PASSWD db-password userPassword client_secret X-Api-Key apiKey access_token refreshToken Authorization
    cookie Set-Cookie private_key PrivateKey credentials connection_string ConnectionString pwd smtpPass PIN otp_code
"""
HARMLESS = (
    "How do I reset my VPN password on a managed laptop?",
    "2026-03-01T10:00:00+02:00",
    "2026-03-01 10:00:00.123456",
    "10.20.30.40:8080",
    "https://shop.example:8443/docs?page=2#top",
    "1760000000000",
    "order 1234567890, invoice 2026-000123",
    "3f2a7c1e-5b7d-4c0e-9a51-0c3f5e2b9d11",
    "registry.example/shop/checkout:1.27.3",
    "checkout-7d9f8b6c5d-x2x4z",
    "the secret of good coffee",
    "deployment/checkout in shop-eu: 3 of 5 ready",
    "500 of 12000 rows, 4.5 GB, ~1,234,567 tokens used",
)


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_and_personal_data_leave_a_text(text: str) -> None:
    clean = redact(text)
    assert SECRETS[text] not in str(clean)
    assert re.search(r"\[(redacted|email|phone|card)]", str(clean))


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays(text: str) -> None:
    assert redact(text) == text


def test_what_identifies_a_key_stays() -> None:
    assert redact("tk_0a1b2c3d4e5f_Zm9vYmFyYmF6cXV4") == "tk_0a1b2c3d4e5f_[redacted]"
    assert redact("postgresql://app:hunter2@db:5432/shop") == "postgresql://app:[redacted]@db:5432/shop"


@pytest.mark.parametrize("key", SECRET_KEYS.split())
@pytest.mark.parametrize("value", ["hunter2", 1234, ["hunter2"], {"inner": "hunter2"}, None])
def test_values_of_secret_keys_are_taken(key: str, value: object) -> None:
    assert redact({key: value}) == {key: "[redacted]"}


@pytest.mark.parametrize(
    "key", "name key keyword monkey author spinner namespace passenger_count cursor phonetic".split()
)
def test_values_of_other_keys_stay(key: str) -> None:
    assert redact({key: "plain"}) == {key: "plain"}


def test_personal_data_is_taken_by_its_key() -> None:
    given_ = {"phone": 5551234567, "workEmail": "alice at home", "email_verified": True, "mobile": None}
    assert redact(given_) == {"phone": "[phone]", "workEmail": "[email]", "email_verified": True, "mobile": None}
    assert redact({"email": {"subject": "hello"}}) == {"email": {"subject": "hello"}}


@pytest.mark.parametrize("option", ["--db-password", "-token", "--api.key", "--auth"])
def test_the_item_after_the_option_of_a_secret_is_taken(option: str) -> None:
    assert redact([option, "hunter2", "--level", "info"]) == [option, "[redacted]", "--level", "info"]
    assert redact({"args": (option, 1234)}) == {"args": [option, "[redacted]"]}


@pytest.mark.parametrize("option", ["--level", "db-password", "--keyword", "--", "--token=a"])
def test_the_item_after_something_else_stays(option: str) -> None:
    assert redact([option, "plain"]) == [redact(option), "plain"]


def test_card_numbers_as_numbers() -> None:
    assert redact([4111111111111111, 4111111111111112, 1760000000000]) == ["[card]", 4111111111111112, 1760000000000]


def test_size_is_bounded() -> None:
    assert redact("x y" * 1000) == "x y" * 166 + "x " + "… [3000 characters]"
    assert redact(list(range(25))) == [*range(MAX_ITEMS), "[5 more]"]
    many = redact({f"k{number}": number for number in range(60)})
    assert isinstance(many, dict)
    assert (len(many), many["[more]"]) == (MAX_KEYS + 1, 10)
    deep: JSON = "end"
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    assert json.dumps(redact(deep)).count("[") == MAX_DEPTH + 1
    wide = [[["x"] * 20] * 20] * 20
    assert json.dumps(redact(wide)).count('"x"') <= MAX_VALUES


def test_a_cut_leaves_no_half_secret() -> None:
    url = "postgresql://app:hunter2hunter2@db/shop " + "z " * 600
    for start in range(MAX_TEXT - 40, 1200):
        assert "hunter2" not in str(redact("a " * (start // 2) + url))
        shrinks = f"eyJ{'a' * start}.b "
        assert "hunter2" not in str(redact(shrinks + url))


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError


class Broken(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise RuntimeError

    def __iter__(self) -> Iterator[str]:
        return iter(["key"])

    def __len__(self) -> int:
        return 1


def test_it_never_raises_and_gives_json() -> None:
    loop: list[Any] = []
    loop.append(loop)
    odd = [b"bytes", Odd(), {1: {2}, None: float("inf"), b"k": 10**5000}, "\ud800", (1, 2), loop, Broken()]
    assert redact(odd[:5]) == ["[bytes]", "[Odd]", {"1": [2], "None": "inf", "[bytes]": "[int]"}, "\ud800", [1, 2]]
    assert redact(Broken()) == "[unreadable]"
    json.dumps(redact(odd[:6]))


CANARY = "hunter2canary"
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.binary(max_size=5)
PLANTS = st.sampled_from(
    [
        {"db_password": CANARY},
        {"nested": {"Api-Key": [CANARY]}},
        {f"token={CANARY}": 1},
        f"see postgresql://app:{CANARY}@db/x now",
        f"Authorization: Bearer {CANARY}",
        f"tk_0a1b2c3d4e5f_{CANARY}",
        f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.x",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
        f"{CANARY}@example.com",
        f'{{"client_secret": "{CANARY}"}}',
    ]
)


@given(
    st.recursive(
        LEAVES | PLANTS,
        lambda inner: st.lists(inner, max_size=25) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
        max_leaves=30,
    )
)
@settings(max_examples=300, deadline=None)
def test_planted_secrets_never_survive(value: object) -> None:
    assert CANARY not in json.dumps(redact(value))


# Repeated, each leads some pattern to many starts that come to nothing, or to work for each place in the text.
HOSTILE = (
    ["(", "1(", "+1", "00(", "1 ", "4 1 ", "4111 ", "5 5 2 3 5 4 2 2 6 5 3 3 5 2 3 4 2 4 4 x", "@", "a@", "ab.", "a%40"]
    + ["://", "://a:", "://:", "eyJaaaa", "eyJaaaa.", "tk_a", "-----BEGIN ", "cookie\\", "bearer "]
    + ["secret", "--secret", "secret ", "secret=;", "access key", 'token="', 'token="\\', "--token ", "api"]
)
# Without it the pattern is not tried, or finds no end.
NEEDED = ("", "=", " :@ eyj --")


@given(
    st.text(max_size=600) | st.lists(st.sampled_from([*HOSTILE, *NEEDED]), max_size=40).map("".join),
    st.sampled_from(["", " ", "\n", '"', "(", ",", "\x00"]),
    PLANTS,
    st.text(max_size=50),
)
@settings(max_examples=300, deadline=None)
def test_planted_secrets_never_survive_in_text(before: str, gap: str, plant: object, after: str) -> None:
    text = plant if isinstance(plant, str) else json.dumps(plant)
    assert CANARY not in json.dumps(redact(f"{before} {gap}{text}{gap} {after}"))


def cost(value: object, max_text: int = MAX_TEXT) -> float:
    """Seconds of the processor, at the best of three."""
    spent = []
    for _ in range(3):
        started = time.process_time()
        redact(value, max_text)
        spent.append(time.process_time() - started)
    return min(spent)


@pytest.mark.parametrize("needed", NEEDED)
@pytest.mark.parametrize("part", HOSTILE)
def test_time_grows_with_the_text_and_no_faster(part: str, needed: str) -> None:
    few, many = (f"{part * (size // len(part))}{needed}" for size in (1_000, 16_000))
    # 16 times as much to read; a pattern that tried each start against the rest would take 256 times as long.
    assert cost(many, 20_000) < 80 * cost(few, 20_000) + 0.01


def test_what_is_looked_at_is_bounded_in_all() -> None:
    long = "a " * 250
    clean = redact({f"k{number}": [long] * 20 for number in range(20)})
    assert json.dumps(clean).count(long) == MAX_CHARACTERS // len(long)
    assert json.dumps(clean).count('"[500 characters]"') == 400 - MAX_CHARACTERS // len(long)
    assert redact([[[long] * 20] * 20, "name"]) == [redact([[long] * 20] * 20), "name"]
    keys = redact({f"{number}{'k' * 9_999}": "plain" for number in range(10)})
    assert isinstance(keys, dict) and list(keys.values()) == ["plain"] * 5 + ["[redacted]"]
    wide = redact([[{f"password{number}": "" for number in range(50)}] * 20] * 20)
    assert json.dumps(wide).count("[redacted]") <= MAX_VALUES


@pytest.mark.parametrize("size", [4_000_000, 480_000])
def test_a_huge_value_costs_no_more_than_what_is_kept_of_it(size: int) -> None:
    assert cost("a" * size) < 50 * cost("a" * 1000) + 0.01
