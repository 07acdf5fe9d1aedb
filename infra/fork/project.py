"""What a fork does not copy but has of its own: pyproject.toml, README, registry of servers, settings, Makefile."""

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from infra.fork.deployment import SERVERS
from infra.fork.names import Names
from infra.fork.selection import Manifest

TEMPLATES = Path(__file__).parent / "templates"
ASK = ("anthropic",)
"""What `triptych ask` stands on; no image has it."""
LINT = ("ruff", "mypy", "import-linter", "types-openpyxl")
RECORD = "fork.json"
"""Says what the fork was made of, for `triptych fork --update`."""


def distribution(requirement: str) -> str:
    """Name of what a requirement asks for."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def requirements(root: Path, manifest: Manifest) -> dict[str, list[str]]:
    """`dependencies`, `test` and each extra, as the suite's pyproject.toml words them."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    drivers = {line for extra in manifest.extras for line in extras[extra]}
    known = [*project["dependency-groups"]["test"], *project["project"]["dependencies"]]
    tests = _named(known, manifest.test)
    return {
        "dependencies": _named(project["project"]["dependencies"], (*manifest.dependencies, *ASK)),
        "test": [*tests, *sorted(drivers)],
        "build": project["dependency-groups"]["build"],
        "lint": _named(project["dependency-groups"]["lint"], LINT),
        **{extra: extras[extra] for extra in manifest.extras},
    }


def _named(lines: Iterable[str], wanted: Iterable[str]) -> list[str]:
    names = set(wanted)
    return [line for line in lines if distribution(line) in names]


def made(root: Path, manifest: Manifest, names: Names, commit: str, modules: Iterable[str]) -> dict[str, str]:
    """Path -> content. `modules` are the first parts of what the fork's package holds."""
    values = {
        "name": names.name,
        "kebab": names.kebab,
        "camel": names.camel,
        "upper": names.name.upper(),
        "port": SERVERS[manifest.server],
        "manifest": manifest,
        "commit": commit,
        "modules": sorted(modules),
        "needs": requirements(root, manifest),
        "suite": tomllib.loads((root / "pyproject.toml").read_text()),
    }
    record = {"vertical": manifest.package, "name": names.name, "commit": commit}
    return {
        "README.md": _filled("README.md.j2", values),
        "pyproject.toml": _filled("pyproject.toml.j2", values),
        "infra/cli/verticals.py": registry((root / "infra/cli/verticals.py").read_text(), manifest, names),
        ".env.example": settings((root / ".env.example").read_text(), manifest),
        ".mcp.json": json.dumps(_client(names, manifest), indent=2) + "\n",
        "Makefile": makefile((root / "Makefile").read_text()),
        ".ci/run": ci((root / ".ci/run").read_text(), manifest),
        RECORD: json.dumps(record, indent=2) + "\n",
    }


def _filled(template: str, values: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Nothing of this is HTML.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["quoted"] = lambda lines: ", ".join(json.dumps(line) for line in lines)
    return environment.get_template(template).render(values)


def registry(text: str, manifest: Manifest, names: Names) -> str:
    """infra/cli/verticals.py with one server, and without commands of what is left behind."""
    entry = re.compile(r'    "[a-z-]+": "([a-z_.]+)",\n')
    kept = {place.removesuffix(".py").replace("/", ".") for place in manifest.infra}

    def own(line: re.Match[str]) -> str:
        if line[1] == manifest.package:
            return f'    "{names.kebab}": "{names.name}",\n'
        return line[0] if line[1] in kept else ""

    return entry.sub(own, text).replace("= {\n}", "= {}")


def settings(text: str, manifest: Manifest) -> str:
    """.env.example with the shared settings and those of this server."""
    prefixes = {"knowledge_base": "KB", "devops": "DEVOPS", "support_hub": "SUPPORT"}
    parts = re.split(r"\n(?=\n# [A-Z]+_\*: )", text)
    mine = ("TRIPTYCH", prefixes[manifest.package])
    return (
        "\n".join(part for part in parts if part.lstrip().startswith("# Every") or _prefix(part) in mine).rstrip()
        + "\n"
    )


def _prefix(part: str) -> str:
    found = re.match(r"\n*# ([A-Z]+)_\*: ", part)
    return found[1] if found else ""


def _client(names: Names, manifest: Manifest) -> dict[str, Any]:
    server = {
        "type": "http",
        "url": f"http://127.0.0.1:{SERVERS[manifest.server]}/mcp",
        "headers": {"Authorization": f"Bearer ${{{names.name.upper()}_API_KEY}}"},
    }
    return {"mcpServers": {names.kebab: server}}


def makefile(text: str) -> str:
    """Without benchmarks, which stay with the suite, and with `make format`."""
    text = re.sub(r"(?m)^bench: .*\n(?:\t.*\n)+\n", "", text).replace(" bench", "")
    formatting = "format: $(VENV)/.ready-dev ## order of imports and layout of the code\n"
    formatting += "\t@$(BIN)/ruff check --select I --fix .\n\t@$(BIN)/ruff format .\n\n"
    return text.replace("lock: ", formatting + "lock: ", 1).replace(".PHONY: ", ".PHONY: format ")


def ci(text: str, manifest: Manifest) -> str:
    """Without what only the suite's own machine has."""
    return re.sub(r"(?s)# The control plane.*?\nfi\n", "", text)
