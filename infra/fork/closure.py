"""What a set of modules imports, directly and through others: imports inside functions count, too."""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = ("common", "knowledge_base", "devops", "support_hub", "infra", "tests")


@dataclass(frozen=True)
class Closure:
    """Our own modules by name, and the foreign packages that they import."""

    modules: frozenset[str]
    foreign: frozenset[str]


def closure(root: Path, start: Iterable[str]) -> Closure:
    """Everything that these modules need in order to run."""
    modules, foreign, todo = set[str](), set[str](), [name for name in start if file_of(root, name)]
    while todo:
        module = todo.pop()
        if module not in modules:
            modules.add(module)
            own, others = _needs(root, module)
            todo += own
            foreign |= others
    return Closure(frozenset(modules), frozenset(foreign))


@cache
def _needs(root: Path, module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Our own modules, packages above them among them, and foreign packages."""
    names = imports(root, module)
    own = {*_parents(module), *(name for name in names if name.partition(".")[0] in PACKAGES)}
    tops = {name.partition(".")[0] for name in names} - {*PACKAGES, *sys.stdlib_module_names}
    return frozenset(name for name in own if file_of(root, name)), frozenset(tops)


@cache
def imports(root: Path, module: str) -> tuple[str, ...]:
    """Names that a module imports; of `from a import b` both `a` and `a.b`."""
    path = file_of(root, module)
    return tuple(_imported(ast.parse(path.read_text()))) if path else ()


@cache
def file_of(root: Path, module: str) -> Path | None:
    """The file of a module or package; None for what is something else, such as a class."""
    path = root.joinpath(*module.split("."))
    if (path / "__init__.py").exists():
        return path / "__init__.py"
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else None


def module_of(root: Path, path: Path) -> str:
    """Name of the module in a file."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_below(root: Path, folder: str) -> list[str]:
    """All modules in a folder."""
    return sorted(module_of(root, path) for path in (root / folder).rglob("*.py"))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """At any depth; expressions, which import nothing, are not looked into."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        found = getattr(tree, part, None)
        for node in found if isinstance(found, list) else ():
            yield node
            yield from _statements(node)


def _parents(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module
