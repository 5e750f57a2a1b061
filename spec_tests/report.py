"""The reports of a run: the table at the end, JSON, and JUnit's XML. The HTML is in ``html.py``."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from spec_tests.results import Outcome, Report, TestResult, unsupported_kinds

_OUTCOMES = tuple(outcome.value for outcome in Outcome)


def write_json(report: Report, path: Path) -> None:
    """Write the machine-readable report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report.document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_junit(report: Report, path: Path) -> None:
    """Write the report that continuous integration servers read."""
    root = ET.Element("testsuites", _junit_counts(report, None), name="spec_tests")
    for name in report.document()["suites"]:
        suite = ET.SubElement(root, "testsuite", _junit_counts(report, name), name=name)
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="backend", value=report.backend)
        if report.deployment is not None:
            ET.SubElement(properties, "property", name="server", value=str(report.deployment.version))
            ET.SubElement(properties, "property", name="topology", value=report.deployment.label)
        for result in report.results:
            if result.suite == name:
                _junit_case(suite, result)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _junit_counts(report: Report, suite: str | None) -> dict[str, str]:
    counts = report.counts(suite)
    seconds = sum(r.seconds for r in report.results if suite is None or r.suite == suite)
    return {
        "tests": str(sum(counts.values())),
        "failures": str(counts["failed"]),
        "errors": "0",
        "skipped": str(counts["skipped"] + counts["unsupported"]),
        "time": f"{seconds:.3f}",
    }


def _junit_case(suite: ET.Element, result: TestResult) -> None:
    class_name = f"{result.suite}.{result.file}"
    case = ET.SubElement(
        suite, "testcase", name=_printable(result.description), classname=class_name, time=f"{result.seconds:.3f}"
    )
    reason = _printable(result.reason)
    if result.outcome is Outcome.FAILED:
        ET.SubElement(case, "failure", message=reason).text = _printable(result.traceback)
    elif result.outcome is not Outcome.PASSED:
        ET.SubElement(case, "skipped", message=f"{result.outcome.value}: {reason}")


def _printable(text: str) -> str:
    # XML does not allow control characters, not even escaped.
    return "".join(c if c in "\t\n" or ord(c) >= 32 else f"\\x{ord(c):02x}" for c in text)


def print_table(report: Report, out: TextIO) -> None:
    """Print what failed, what is unsupported and why, and a table of all suites."""
    for result in report.results:
        if result.outcome is Outcome.FAILED:
            print(f"FAILED {result.title}\n    {result.reason}", file=out)
    kinds = unsupported_kinds(report.results)
    if kinds:
        print("unsupported:", file=out)
    for kind, reason, number in kinds:
        detail = reason.removeprefix(kind).lstrip(": ")
        print(f"  {number:5} {kind}{f' ({detail})' if detail else ''}", file=out)
    deployment = report.deployment
    where = f"server {deployment.version}, {deployment.label}" if deployment is not None else "no server"
    driver = "" if report.driver == "wiredrv" else f"{report.driver}, "
    title = f"{driver}{where}, {report.backend}"
    rows = [(name, *(report.counts(name)[o] for o in _OUTCOMES)) for name in report.document()["suites"]]
    rows.append(("all", *(report.counts()[o] for o in _OUTCOMES)))
    if out.isatty():
        _rich_table(title, rows)
    else:
        _plain_table(title, rows, out)


def _plain_table(title: str, rows: list[tuple[str | int, ...]], out: TextIO) -> None:
    width = max(len(str(row[0])) for row in rows)
    print(title, file=out)
    print(f"{'suite':{width}} " + " ".join(f"{name:>11}" for name in _OUTCOMES), file=out)
    for row in rows:
        print(f"{row[0]!s:{width}} " + " ".join(f"{number:>11}" for number in row[1:]), file=out)


def _rich_table(title: str, rows: list[tuple[str | int, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    table.add_column("suite")
    for name, style in zip(_OUTCOMES, ("green", "red", "dim", "yellow"), strict=True):
        table.add_column(name, justify="right", style=style)
    for row in rows[:-1]:
        table.add_row(*(str(value) if value else "·" for value in row))
    table.add_section()
    table.add_row(*(str(value) if value else "·" for value in rows[-1]), style="bold")
    Console().print(table)


@contextmanager
def progress(total: int, out: TextIO | None = None) -> Iterator[Callable[[TestResult], None]]:
    """Yield a function to call with each result: a bar on a terminal, a line per suite elsewhere."""
    stream = out if out is not None else sys.stderr
    if not stream.isatty():
        yield _line_per_suite(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:32.32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failed]} failed[/red]"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("", total=total, failed=0)
        failed = 0

        def hear(result: TestResult) -> None:
            nonlocal failed
            failed += result.outcome is Outcome.FAILED
            bar.update(task, advance=1, description=f"{result.suite} {result.file}", failed=failed)

        yield hear


def _line_per_suite(stream: TextIO) -> Callable[[TestResult], None]:
    current = ""

    def hear(result: TestResult) -> None:
        nonlocal current
        if result.suite != current:
            current = result.suite
            print(f"running {current}", file=stream, flush=True)

    return hear
