"""The access rule against its truth table in docs/security.md, and against its own wording."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from common.security.access import LEVELS, Access, AccessScope, may_read

DOCS = Path(__file__).parents[3] / "docs" / "security.md"
names = st.sampled_from(["a", "b", "c"])
levels = st.sampled_from(list(LEVELS))
scopes = st.builds(AccessScope, names, names, st.frozensets(names), levels)
accesses = st.builds(Access, levels, st.frozensets(names), st.frozensets(names))


def truth_table() -> list[list[str]]:
    """Rows of the table below the heading `The rule as a truth table`."""
    section = DOCS.read_text().split("## The rule as a truth table", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def _names(cell: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", cell)) if cell != "none" else frozenset()


def test_the_truth_table_of_the_docs_is_what_the_code_does() -> None:
    rows = truth_table()
    assert len(rows) >= 12
    for tenant, clearance, groups, subject, document_tenant, classification, its_groups, owners, readable in rows:
        scope = AccessScope(tenant, subject, _names(groups), clearance)  # type: ignore[arg-type]
        access = Access(classification, _names(its_groups), _names(owners))  # type: ignore[arg-type]
        assert may_read(scope, document_tenant, access) is (readable == "yes"), (scope, access)


def test_the_truth_table_covers_every_part_of_the_rule() -> None:
    answers = {row[-1] for row in truth_table()}
    assert answers == {"yes", "no"}
    assert any(row[0] != row[4] for row in truth_table()), "another tenant"
    assert any(LEVELS[row[1]] < LEVELS[row[5]] for row in truth_table()), "too little clearance"


@given(scopes, names, accesses)
def test_the_rule_word_for_word(scope: AccessScope, tenant: str, access: Access) -> None:
    same_tenant = tenant == scope.tenant
    cleared = LEVELS[scope.clearance] >= LEVELS[access.classification]
    unnamed = not access.groups and not access.owners
    named = any(group in scope.groups for group in access.groups) or scope.subject in access.owners
    assert may_read(scope, tenant, access) is (same_tenant and cleared and (unnamed or named))


@given(scopes, accesses)
def test_labels_say_the_same_as_groups_and_owners(scope: AccessScope, access: Access) -> None:
    by_labels = bool(set(scope.labels) & set(access.readers)) and scope.level >= access.level
    assert by_labels is may_read(scope, scope.tenant, access)


@given(scopes, names, accesses)
def test_less_clearance_never_shows_more(scope: AccessScope, tenant: str, access: Access) -> None:
    public = AccessScope(scope.tenant, scope.subject, scope.groups, "public")
    assert may_read(scope, tenant, access) or not may_read(public, tenant, access)
