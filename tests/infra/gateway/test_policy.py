"""The gateway's own policies beside those of the domains."""

import re
from pathlib import Path

from infra.gateway.bootstrap import POLICY

ROOT = Path(__file__).parents[3]
DOMAINS = ("knowledge_base", "devops", "support_hub")
ROLES = re.compile(r"principal\.roles\.contains(?:Any|All)?\(([^)]*)\)")


def roles(file: Path) -> set[str]:
    """The roles that a file of policies names."""
    text = re.sub(r"(?m)//.*$", "", file.read_text())
    return {role for names in ROLES.findall(text) for role in re.findall(r'"([a-z-]+)"', names)}


def test_every_role_of_a_domain_gets_through_the_gateway() -> None:
    files = [file for domain in DOMAINS for file in (ROOT / domain / "policies").glob("*.cedar")]
    named = set().union(*map(roles, files))
    assert {"support", "editor", "operator"} <= named <= roles(POLICY)
