"""What is shown of manifests: no secret of any kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devops.logs import parse
from devops.quantities import parse_quantity
from devops.revisions import changes
from devops.views import annotations_of, environment_of, redacted

CANARY = "canary-7f3a91"


@pytest.mark.parametrize(
    "name", ["PASSWORD", "db_password", "API_KEY", "githubToken", "SECRET", "AWS_SECRET_ACCESS_KEY"]
)
def test_values_under_secret_names_are_gone(name: str) -> None:
    assert CANARY not in str(redacted({name: CANARY}))
    assert CANARY not in str(environment_of({"env": [{"name": name, "value": CANARY}]}))
    container = {"name": "app", "image": "a:1", "env": [{"name": name, "value": CANARY}]}
    old = {"spec": {"containers": [{**container, "env": []}]}}
    assert CANARY not in str(changes(old, {"spec": {"containers": [container]}}))
    container["args"] = [f"--{name}", CANARY]
    assert CANARY not in str(changes(old, {"spec": {"containers": [container]}}))


@pytest.mark.parametrize(
    "value",
    [
        f"postgres://app:{CANARY}@db/x",
        f"Authorization: Bearer {CANARY}",
        f"password={CANARY}",
        f"--token {CANARY}",
    ],
)
def test_secrets_inside_values_are_gone(value: str) -> None:
    assert CANARY not in str(redacted({"NOTE": value}))
    assert CANARY not in str(annotations_of({"metadata": {"annotations": {"note": value}}}))
    [line] = parse(f"2026-11-23T05:00:00Z {value}", "pod/app")
    assert CANARY not in line.text and line.time == "2026-11-23T05:00:00Z"


LONG = ["MIIEpAIBAAKCAQEA" * 4, "b64+/Zm9vYmFyYmF6" * 4]
RSA = ["-----BEGIN RSA PRIVATE KEY-----", *LONG, "c2hvcnQ=", "-----END RSA PRIVATE KEY-----"]
LOCKED = [RSA[0], "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,7F3A", "", *RSA[1:]]
PGP = ["-----BEGIN PGP PRIVATE KEY BLOCK-----", "", *LONG, "=c2hv", "-----END PGP PRIVATE KEY BLOCK-----"]


def shown(lines: list[str]) -> list[str]:
    return [line.text for line in parse("\n".join(f"2026-11-23T05:00:00Z {line}" for line in lines), "pod/app")]


@pytest.mark.parametrize("key", [RSA, LOCKED, PGP])
@pytest.mark.parametrize("form", ["{}", "2026-11-23 05:00:0{n},123 INFO {}", '{{"message": "{}", "n": {n}}}'])
def test_a_private_key_in_a_log_is_gone_in_all_its_lines(key: list[str], form: str) -> None:
    lines = shown(["before", *(form.format(part, n=n) for n, part in enumerate(key)), "after"])
    assert (lines[0], lines[-1]) == ("before", "after")
    assert not any(part in line for line in lines for part in key if part)


@pytest.mark.parametrize("form", ["{}", "    {}", "{}\r", "INFO {}", "'{}'"])
def test_a_key_of_short_lines_is_gone_too(form: str) -> None:
    short = (CANARY * 4)[:48]
    lines = shown([form.format(line) for line in (RSA[0], short, short, f"{CANARY}==", RSA[-1])] + ["after"])
    assert lines[1:] == [*["[redacted]"] * 4, "after"]


def test_a_key_with_other_lines_in_between_is_gone_too() -> None:
    lines = shown([RSA[0], LONG[0], "INFO of another thread", *(f"INFO {part}" for part in RSA[2:])])
    assert [line for line in lines if line != "[redacted]"] == ["INFO of another thread"]


def test_a_key_after_other_words_is_gone_too() -> None:
    lines = shown([f"INFO the key: {RSA[0]}", *(f"INFO {part}" for part in RSA[1:]), "after"])
    assert lines == ["INFO the key: [redacted]", *["[redacted]"] * (len(RSA) - 1), "after"]


@pytest.mark.parametrize("after", ["eve logged in as root", "GET / agent=curl 8", "{'user': 'eve'}"])
def test_who_writes_the_first_line_of_a_key_hides_nothing_else(after: str) -> None:
    begin = f"GET / agent={RSA[0]}"
    assert shown([begin, after, "DROP TABLE"]) == ["GET / agent=[redacted]", after, "DROP TABLE"]
    assert shown([begin, f"GET / agent={LONG[0]}", after])[-1] == after
    # One word alone could be the end of a key, and is hidden once.
    assert shown([begin, *["GET / agent=curl"] * 2])[1:] == ["[redacted]", "GET / agent=curl"]
    assert shown([RSA[0], *["word"] * 200])[-1] == "word"


def test_where_a_value_comes_from_is_said() -> None:
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "b"}}},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    assert environment_of({"env": env, "envFrom": [{"secretRef": {"name": "all"}}]}) == {
        "A": "from secret login, key password",
        "B": "from config map settings, key b",
        "C": "from status.podIP",
        "(all of all)": "secret",
    }


@given(st.integers(0, 10**6))
def test_quantities_are_numbers_with_units(number: int) -> None:
    assert parse_quantity(f"{number}") == number
    assert parse_quantity(f"{number}m") == pytest.approx(number / 1000)
    assert parse_quantity(f"{number}Mi") == number * 2**20
    assert parse_quantity(f"--{number}") == 0
