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


def test_a_private_key_in_a_log_is_gone_in_all_its_lines() -> None:
    key = ["-----BEGIN RSA PRIVATE KEY-----", CANARY, f"{CANARY}==", "-----END RSA PRIVATE KEY-----"]
    text = "\n".join(f"2026-11-23T05:00:0{n}Z {part}" for n, part in enumerate(["before", *key, "after"]))
    lines = [line.text for line in parse(text, "pod/app")]
    assert CANARY not in str(lines) and (lines[0], lines[-1]) == ("before", "after")


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
