"""Reading an asynchronous module."""

from __future__ import annotations

import ast
from typing import NamedTuple

from tools.synchronous.plan import HOMES, PACKAGE


class Source(NamedTuple):
    """An asynchronous module."""

    tree: ast.Module
    imports: dict[str, str]
    module: str


def read(module: str) -> Source:
    """Read an asynchronous module: its tree, and from where it imports each name."""
    tree = ast.parse((PACKAGE / (module.replace(".", "/") + ".py")).read_text())
    imports: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for name in node.names:
                imports[name.asname or name.name] = f"{node.module}:{name.name}"
        elif isinstance(node, ast.Import):
            for name in node.names:
                imports[name.asname or name.name] = name.name
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            imports.setdefault(node.targets[0].id, f"wiredrv.{module}:{node.targets[0].id}")
        elif isinstance(node, ast.ClassDef) and node.name not in HOMES:
            imports.setdefault(node.name, f"wiredrv.{module}:{node.name}")
    return Source(tree, imports, module)
