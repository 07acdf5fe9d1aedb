"""Which files of the suite a fork consists of: what the manifest names, what that imports, and the tests of both."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from common.errors import InvalidInput
from infra.fork.closure import Closure, closure, file_of, module_of, modules_below
from infra.fork.prose import WORDS, about

BASE = (
    "infra.cli.__main__",
    "infra.cli.dead_letters",
    "infra.cli.main",
    "infra.compose.prepare",
    "infra.demo.people",
    "infra.demo.run",
    "infra.docker.health",
    "infra.env_example",
    "infra.evals",
    "infra.lock",
    "infra.sbom",
    "infra.seed.load",
)
"""Modules of infra that every fork has, beside its own part of the demo."""
ALWAYS = (".ci/run", ".dockerignore", ".gitignore", "CONTRIBUTING.md", "LICENSE", "Makefile", "NOTICE", "SECURITY.md")
ALWAYS_DOCS = ("ask", "audit", "console", "operations", "scaling", "secrets", "security")
DATA = ("infra/kubernetes/", "infra/observability/", "infra/compose/", "infra/docker/Dockerfile", "common/")
TESTS = ("tests/infra/test_demo.py", "tests/infra/test_docs.py")
"""Taken although what they test is made anew in a fork."""
LEFT = (
    "tests/benchmarks/",
    "tests/infra/gateway/",
    "tests/infra/fork/",
    "tests/infra/kubernetes/",
    "tests/infra/test_evals",
    "tests/infra/test_replicas",
    "tests/infra/test_sbom",
)
_IGNORED = {".git", ".venv", ".triptych", "__pycache__", "node_modules", "dist"}


@dataclass(frozen=True)
class Manifest:
    """`fork.toml` of a vertical."""

    package: str
    server: str
    title: str
    summary: str
    dependencies: tuple[str, ...]
    extras: tuple[str, ...]
    test: tuple[str, ...]
    infra: tuple[str, ...]
    """Modules and folders of infra that come along."""
    docs: tuple[str, ...]
    data: tuple[str, ...]
    """Files and folders that are no modules."""

    @classmethod
    def read(cls, root: Path, package: str) -> "Manifest":
        """Of a vertical of the suite. Raises InvalidInput if it cannot be forked."""
        known = [path.parent.name for path in sorted(root.glob("*/fork.toml"))]
        if package not in known:
            raise InvalidInput(f"There is no vertical {package!r}.", f"Take one of: {', '.join(known)}.")
        given: dict[str, Any] = tomllib.loads((root / package / "fork.toml").read_text())
        lists = ("dependencies", "extras", "test", "infra", "docs", "data")
        return cls(package, given["server"], given["title"], given["summary"], *(tuple(given[key]) for key in lists))


@dataclass(frozen=True)
class Selection:
    """What a manifest means in a checkout of the suite."""

    root: Path
    manifest: Manifest

    @cached_property
    def others(self) -> re.Pattern[str]:
        """Finds text about what does not come along."""
        return about(package for package in WORDS if package != self.manifest.package)

    @cached_property
    def code(self) -> Closure:
        """The vertical, its part of infra, and what they import."""
        package = self.manifest.package
        start = [*modules_below(self.root, package), *modules_below(self.root, "common/cli"), *BASE]
        for place in (f"infra/demo/parts/{package}.py", *self.manifest.infra):
            path = self.root / place
            start += modules_below(self.root, place) if path.is_dir() else [module_of(self.root, path)]
        return closure(self.root, start)

    @cached_property
    def tests(self) -> frozenset[str]:
        """Tests, and what they stand on, that need nothing but what comes along and speak of nothing else."""
        found: set[str] = {module_of(self.root, self.root / path) for path in TESTS if (self.root / path).exists()}
        for module in modules_below(self.root, "tests"):
            needed = closure(self.root, [module]).modules
            if all(each in self.code.modules or self._own_test(each) for each in needed):
                found |= {each for each in needed if each.startswith("tests")}
        return frozenset(found)

    def _own_test(self, module: str) -> bool:
        path = file_of(self.root, module)
        if not module.startswith("tests") or path is None:
            return False
        relative = str(path.relative_to(self.root))
        if relative.startswith(LEFT) or any(relative.startswith(f"tests/{other}/") for other in self._elsewhere):
            return False
        return not self.others.search(path.read_text())

    @property
    def _elsewhere(self) -> list[str]:
        return [package for package in WORDS if package != self.manifest.package]

    def files(self) -> Iterator[str]:
        """Paths below the root, sorted."""
        modules = self.code.modules | self.tests
        docs = {f"docs/{name}.md" for name in (*ALWAYS_DOCS, *self.manifest.docs)}
        folders = (f"{self.manifest.package}/", *DATA, *self.manifest.data)
        for path in tracked(self.root):
            if path.endswith(".py"):
                if module_of(self.root, self.root / path) in modules:
                    yield path
            elif path in ALWAYS or path in docs or path.startswith(folders):
                yield path


def tracked(root: Path) -> list[str]:
    """What git tracks or would track; without git, what is there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)  # noqa: S603
    if done.returncode == 0 and done.stdout:
        return sorted(path for path in set(done.stdout.split("\0")) if path and (root / path).is_file())
    return sorted(_walk(root))


def _walk(root: Path) -> Iterator[str]:
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in _IGNORED and not name.endswith(".egg-info")]
        yield from (str(Path(folder, file).relative_to(root)) for file in files)
