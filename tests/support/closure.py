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
    modules, foreign, todo = set[str](), set[str](), list(start)
    while todo:
        module = todo.pop()
        if module in modules or file_of(root, module) is None:
            continue
        modules.add(module)
        todo += [*_parents(module)]
        for name in imports(root, module):
            top = name.partition(".")[0]
            if top in PACKAGES:
                todo.append(name)
            elif top not in sys.stdlib_module_names:
                foreign.add(top)
    return Closure(frozenset(modules), frozenset(foreign))


@cache
def imports(root: Path, module: str) -> tuple[str, ...]:
    """Names that a module imports; of `from a import b` both `a` and `a.b`."""
    path = file_of(root, module)
    return tuple(_imported(ast.parse(path.read_text()))) if path else ()


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
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _parents(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module
