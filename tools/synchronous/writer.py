"""Writing a module: its docstring, its imports and its classes."""

from __future__ import annotations

import ast
import importlib
import re

from tools.synchronous.extras import EXIT, EXITS, EXTRAS
from tools.synchronous.imports import import_block
from tools.synchronous.methods import method_lines
from tools.synchronous.plan import CLASSES, HOMES, INNER, SKIPPED
from tools.synchronous.signatures import name_of, sync_name
from tools.synchronous.source import Source
from tools.synchronous.words import reworded


class Writer:
    """Writes one module."""

    def __init__(self, source: Source, target: str) -> None:
        self.source = source
        self.target = target
        self.lines: list[str] = []

    def write(self) -> str:
        """The module's text, before ruff sorts its imports and formats it."""
        for name in CLASSES[self.target]:
            found = next(node for node in self.source.tree.body if isinstance(node, ast.ClassDef) and node.name == name)
            self._class(found)
        body = "\n".join(self.lines)
        imports = import_block(self.source, self.target, body)
        document = reworded(ast.get_docstring(self.source.tree, clean=False) or "").split("\n")[0]
        origin = f"Written by ``python -m tools.synchronous`` from ``wiredrv.{self.source.module}``: do not edit."
        return f'"""{document}\n\n{origin}\n"""\n\nfrom __future__ import annotations\n\n{imports}\n\n{body}\n'

    def _class(self, node: ast.ClassDef) -> None:
        bases = []
        for base in node.bases:
            text = ast.unparse(base)
            if name_of(text) in HOMES or name_of(text) == "Generic":
                bases.append(text)
        if not any(base.partition("[")[0] in HOMES for base in bases):
            bases.insert(0, "Synchronous")
        self.lines.append(f"class {node.name}({', '.join(bases)}):")
        document = ast.get_docstring(node, clean=False)
        self.lines.append(f'    """{reworded(document or "")}"""')
        self.lines.append("")
        extra = EXTRAS.get(node.name, "")
        if "__slots__" not in extra:
            self.lines.append("    __slots__ = ()\n")
        if "with_transaction" in extra:
            method = next(m for m in node.body if isinstance(m, ast.AsyncFunctionDef) and m.name == "with_transaction")
            extra = extra.replace('"""DOC"""', f'"""{reworded(ast.get_docstring(method, clean=False) or "")}"""')
        written = set(re.findall(r"    def (\w+)", extra))
        if node.name in INNER:
            self.lines.append(f"    _inner: {INNER[node.name]}\n")
        if extra:
            self.lines.append(extra.strip("\n") + "\n")
        if "__aexit__" not in {getattr(member, "name", "") for member in node.body} | written and self._closes(
            node.name
        ):
            self.lines.append(EXIT)
        plain = {member.name for member in node.body if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))}
        for member in node.body:
            if isinstance(member, ast.Assign) and isinstance(member.value, ast.Name) and member.value.id in plain:
                name = ast.unparse(member.targets[0])
                if not name.startswith("_") and name not in SKIPPED:
                    self.lines.append(f"    {ast.unparse(member)}\n")
            if not isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)) or not self._is_wanted(member, written):
                continue
            if not (member.name == "__aiter__" and "__iter__" in plain):
                self.lines += method_lines(node.name, member)
        self.lines.append("")

    def _closes(self, name: str) -> bool:
        """Whether a class has a block that ends it, which it inherits from a class that is not written."""
        found = getattr(importlib.import_module(f"wiredrv.{self.source.module}"), name)
        bases = (getattr(base, "__name__", "") for base in found.__bases__)
        return hasattr(found, "__aexit__") and not any(base in HOMES for base in bases) and name not in EXITS

    @staticmethod
    def _is_wanted(member: ast.FunctionDef | ast.AsyncFunctionDef, written: set[str]) -> bool:
        name = sync_name(member.name)
        if member.name in SKIPPED or name in written:
            return False
        return not name.startswith("_") or name.startswith("__")
