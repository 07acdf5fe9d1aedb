"""Cedar policies for tools."""

from pathlib import Path

import pytest

from common.errors import SettingsError
from common.security.policy import ToolPolicy
from common.security.principal import Principal


def policy(tmp_path: Path, text: str) -> ToolPolicy:
    file = tmp_path / "p.cedar"
    file.write_text(text)
    return ToolPolicy("small", [file])


def test_nothing_is_permitted_by_default(tmp_path: Path) -> None:
    assert not policy(tmp_path, "").allows(Principal("root", "t", frozenset({"admin"})), "search")


def test_attributes_decide(tmp_path: Path) -> None:
    rules = policy(tmp_path, 'permit (principal, action == Action::"a", resource) when { principal.clearance >= 2 };')
    assert rules.allows(Principal(clearance="confidential"), "a")
    assert not rules.allows(Principal(clearance="internal"), "a")
    assert not rules.allows(Principal(clearance="restricted"), "b")


EVIL = ['x" || true || "', 'Caller::"caller"', "\n", "admin\u0000", '"]); permit(principal,action,resource);']


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_values_stay_values(tmp_path: Path, evil: str) -> None:
    rules = policy(tmp_path, 'permit (principal, action, resource) when { principal.roles.contains("admin") };')
    assert not rules.allows(Principal(evil, evil, frozenset({evil}), frozenset({evil})), "a")
    assert not rules.allows(Principal("x"), evil)


def test_a_broken_policy_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Policies cannot be used"):
        policy(tmp_path, "permit (everything);")
