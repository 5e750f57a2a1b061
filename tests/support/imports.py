"""Which module of a package imports which, read from the source: nothing is executed.

Every import statement counts, wherever it is: in a function, under ``TYPE_CHECKING``, in a ``try``; so does
``import_module`` with a literal name. Type-checking imports are marked, since they cannot delay or break a start.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Import:
    """One import. ``imported`` is a module of the tree if one has that name, else the name in the statement."""

    importer: str
    imported: str
    line: int
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


@dataclass(frozen=True, slots=True)
class Tree:
    """The modules of one package and all their imports."""

    package: str
    modules: frozenset[str]
    imports: tuple[Import, ...]

    def inside(self) -> Iterator[Import]:
        """The imports of this package's own modules."""
        return (entry for entry in self.imports if entry.imported in self.modules)

    def outside(self) -> Iterator[Import]:
        """The imports of everything else."""
        return (entry for entry in self.imports if entry.imported not in self.modules)


def read_tree(folder: Path) -> Tree:
    """Read all modules below ``folder``, which is a package of the same name."""
    package = folder.name
    files = {_module_name(folder, path): path for path in sorted(folder.rglob("*.py"))}
    modules = frozenset(files)
    found: list[Import] = []
    for module, path in files.items():
        base = module if path.name == "__init__.py" else module.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        guarded = {id(inner) for guard in _typing_blocks(tree) for inner in ast.walk(guard)}
        for node in ast.walk(tree):
            for name in _names(node, base, modules):
                found.append(Import(module, name, node.lineno, id(node) in guarded))  # type: ignore[attr-defined]  # only statements and calls yield names
    return Tree(package, modules, tuple(dict.fromkeys(found)))


def reachable(start: str, imports: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """What ``start`` imports, directly and not: each module with the import chain that leads to it."""
    ways: dict[str, tuple[str, ...]] = {start: (start,)}
    waiting = [start]
    while waiting:
        module = waiting.pop()
        for other in imports.get(module, ()):
            if other not in ways:
                ways[other] = (*ways[module], other)
                waiting.append(other)
    return ways


def cycles(imports: Iterable[Import]) -> list[frozenset[str]]:
    """The groups of modules that reach one another, largest first."""
    graph: dict[str, set[str]] = {}
    for entry in imports:
        if entry.importer != entry.imported:
            graph.setdefault(entry.importer, set()).add(entry.imported)
    reached = {module: set(reachable(module, graph)) for module in graph}
    groups = {
        frozenset(other for other in reached[module] if module in reached.get(other, ())) | {module} for module in graph
    }
    return sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), sorted(group)))


def _module_name(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _typing_blocks(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from node.body


def _names(node: ast.AST, base: str, modules: frozenset[str]) -> Iterator[str]:
    """The modules that one node imports. ``base`` is the package that relative imports start from."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    elif isinstance(node, ast.ImportFrom):
        source = node.module or ""
        if node.level:
            parts = base.split(".")
            source = ".".join([*parts[: len(parts) - node.level + 1], *([source] if source else [])])
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            yield inner if inner in modules else source
    elif isinstance(node, ast.Call) and _is_import_call(node.func):
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def _is_import_call(function: ast.expr) -> bool:
    return ast.unparse(function) in ("import_module", "importlib.import_module", "__import__")
