"""``python -m spec_tests``: run MongoDB's specification tests against a deployment."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

import anyio

from spec_tests import seam
from spec_tests.conformance import update_conformance
from spec_tests.deployment import KINDS, deployment
from spec_tests.html import write_html
from spec_tests.report import print_table, progress, write_json, write_junit
from spec_tests.results import Report
from spec_tests.runner import Plan, run_plan
from spec_tests.suites import SpecsMissing, discover, find_specs
from wiredrv.errors import DriverError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    line = argparse.ArgumentParser("python -m spec_tests", description=__doc__)
    where = line.add_mutually_exclusive_group()
    where.add_argument("--uri", help="a running deployment, started with test commands")
    where.add_argument(
        "--deployment", choices=KINDS, default="replicaset", help="start this one (the default: %(default)s)"
    )
    line.add_argument("--specs", metavar="DIR", help="the specifications repository or its source/")
    line.add_argument(
        "--driver",
        choices=("wiredrv", "pymongo"),
        default="wiredrv",
        help="run the unified tests with this driver (the default: %(default)s); pymongo is PyMongo Async, on asyncio",
    )
    line.add_argument(
        "--backend",
        choices=("asyncio", "trio", "threads"),
        default="asyncio",
        help="threads runs wiredrv.sync, each call in a worker thread (the default: %(default)s)",
    )
    line.add_argument(
        "--suite",
        metavar="NAME",
        action="append",
        default=[],
        help="a specification's folder, or FOLDER:data; may be repeated; all by default",
    )
    line.add_argument(
        "-k", metavar="TEXT", dest="text", default="", help="only tests whose file or description contains it"
    )
    line.add_argument("--json", metavar="FILE", type=Path, help="write the results as JSON")
    line.add_argument("--junit", metavar="FILE", type=Path, help="write the results as JUnit XML")
    line.add_argument("--html", metavar="DIR", type=Path, help="write a static report")
    line.add_argument(
        "--conformance", metavar="FILE", type=Path, help="bring the generated part of a Markdown page up to date"
    )
    line.add_argument("-x", dest="stop", action="store_true", help="stop at the first failure")
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the result is the exit status: 0, 1 if a test failed, 2 if none could be run."""
    chosen = parser().parse_args(arguments)
    try:
        suites = discover(find_specs(chosen.specs), chosen.suite)
    except SpecsMissing as error:
        return _complain(str(error))
    if chosen.driver != "wiredrv":
        if chosen.backend != "asyncio":
            return _complain(f"{chosen.driver} runs on asyncio only")
        # Data-driven cases look at this project's own functions.
        suites = [suite for suite in suites if suite.needs_deployment]
    driver, scheduler = chosen.driver, chosen.backend
    if chosen.backend == "threads":
        driver, scheduler = "wiredrv.sync", "asyncio"
    try:
        seam.use_driver(driver)
    except ImportError as error:
        return _complain(f"{chosen.driver} cannot be run here: {error}")
    with ExitStack() as stack:
        plan = Plan(suites, chosen.text, chosen.stop)
        total = plan.count()
        if total == 0:
            return _complain(f"no test contains {chosen.text!r}" if chosen.text else "there are no tests")
        needed = any(suite.needs_deployment for suite in suites)
        try:
            uri = stack.enter_context(deployment(chosen.deployment, chosen.uri) if needed else nullcontext())
            hear = stack.enter_context(progress(total))
            run = functools.partial(
                run_plan, Plan(suites, chosen.text, chosen.stop, hear), uri, chosen.backend, chosen.driver
            )
            report: Report = anyio.run(run, backend=scheduler)
        except DriverError as error:
            return _complain(f"the deployment cannot be used: {type(error).__name__}: {error}")
    _write(report, chosen)
    print_table(report, sys.stdout)
    return 1 if report.failed else 0


def _write(report: Report, chosen: argparse.Namespace) -> None:
    if chosen.json is not None:
        write_json(report, chosen.json)
    if chosen.junit is not None:
        write_junit(report, chosen.junit)
    if chosen.html is not None:
        write_html(report, chosen.html)
    if chosen.conformance is not None:
        update_conformance(chosen.conformance, [report])


def _complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
