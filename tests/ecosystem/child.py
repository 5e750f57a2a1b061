"""Runs a module of tests in another process, and says what came of each test."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
MAPPERS = Path(__file__).parent / "mappers"


@dataclass
class Came:
    """What came of the runs of one test function: one for each set of its parameters."""

    passed: int = 0
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def case_names(module: str) -> list[str]:
    """The names of the test functions of a module below ``mappers``, which is not imported."""
    tree = ast.parse((MAPPERS / f"{module}.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [function.name for function in functions if function.name.startswith("test_")]


def run(module: str, uri: str, report: Path) -> dict[str, Came]:
    """Run the tests of a module below ``mappers``.

    :param uri: the connection string of the servers that they use.
    :param report: the file into which pytest writes its report.
    """
    command = [sys.executable, "-m", "pytest", "-p", "tests.ecosystem.mappers.environment", f"--junitxml={report}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    finished = subprocess.run(
        [*command, str(MAPPERS / f"{module}.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment | {"MONGODB_URI": uri, "PYTHONPATH": str(ROOT)},
    )
    if not report.exists():
        raise AssertionError(f"{module} was not run:\n{finished.stdout}\n{finished.stderr}")
    return _read(report)


def _read(report: Path) -> dict[str, Came]:
    came: dict[str, Came] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        of_function = came.setdefault(case.attrib["name"].partition("[")[0], Came())
        bad = [child for child in case if child.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if bad:
            of_function.failed += [f"{case.attrib['name']}\n{child.text}" for child in bad]
        elif skipped is not None:
            of_function.skipped.append(skipped.attrib["message"])
        else:
            of_function.passed += 1
    return came
