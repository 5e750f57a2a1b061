"""Runs tests one after the other and turns whatever happens into a result.

Unified test format specification, "Executing a Test File".
"""

from __future__ import annotations

import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import anyio
import anyio.to_thread

from spec_tests.capture import Trace, describe, spec_name
from spec_tests.data.case import DataCase
from spec_tests.environment import Environment
from spec_tests.errors import RunnerError, SchemaError, SpecFailure, Unsupported
from spec_tests.inapplicable import INAPPLICABLE
from spec_tests.internal import Internal
from spec_tests.requirements import unmet
from spec_tests.results import EventsReport, Outcome, Report, TestResult, WireLine
from spec_tests.run import TestRun
from spec_tests.schema import TestCase, TestFile, load_file
from spec_tests.suites import Suite
from spec_tests.uris import SpecUri
from wiredrv.waits.threads import Threads


@dataclass(frozen=True, slots=True)
class Case:
    """One test of one file; ``test`` is None for a file that cannot be read."""

    suite: str
    file_name: str
    file: TestFile | None
    test: TestCase | None
    problem: str = ""

    @property
    def description(self) -> str:
        return self.test.description if self.test is not None else "(the file)"

    def result(self, outcome: Outcome, reason: str = "", kind: str = "") -> TestResult:
        """A result with this case's names."""
        return TestResult(self.suite, self.file_name, self.description, outcome, reason, kind)


@asynccontextmanager
async def open_environment(uri: SpecUri) -> AsyncIterator[Environment]:
    """Open the internal client, query the deployment, and kill what an earlier run left open."""
    async with Internal(uri) as internal:
        deployment = await internal.survey()
        await internal.kill_all_sessions()
        yield Environment(uri, internal, deployment)


@lru_cache(maxsize=1024)
def _load(path: Path) -> TestFile:
    return load_file(path)


def cases(suite: Suite, text: str = "") -> Iterator[Case]:
    """The tests of a suite whose file or description contains ``text``."""
    for path in suite.files:
        name = path.relative_to(suite.folder).as_posix()
        try:
            file = _load(path)
        except SchemaError as error:
            yield Case(suite.name, name, None, None, str(error))
            continue
        for test in file.tests:
            if text.lower() in f"{name} {test.description}".lower():
                yield Case(suite.name, name, file, test)


def judge(case: Case, environment: Environment) -> TestResult | None:
    """The result of a case that need not be run, or None."""
    if case.file is None or case.test is None:
        return case.result(Outcome.FAILED, case.problem)
    if case.test.skip_reason is not None:
        return case.result(Outcome.SKIPPED, f"skipReason: {case.test.skip_reason}")
    reason = INAPPLICABLE.get((case.file_name, case.test.description))
    if reason is not None:
        return case.result(Outcome.UNSUPPORTED, reason, "does not fit this driver")
    lacking = unmet(case.file.run_on, environment.deployment) or unmet(case.test.run_on, environment.deployment)
    return case.result(Outcome.SKIPPED, lacking) if lacking is not None else None


async def run_case(case: Case, environment: Environment) -> tuple[TestResult, TestRun | None]:
    """Run one test. The run is returned so that it can be judged again (mutation tests)."""
    settled = judge(case, environment)
    if settled is not None or case.file is None or case.test is None:
        return settled or case.result(Outcome.FAILED, case.problem), None
    run = TestRun(environment, case.file, case.test)
    begin = time.perf_counter()
    result = await _ended(case, run)
    return replace(result, seconds=time.perf_counter() - begin), run


async def _ended(case: Case, run: TestRun) -> TestResult:
    limit = run.environment.test_seconds
    try:
        with anyio.fail_after(limit) as scope:
            await run.carry_out()
    except Unsupported as lack:
        return _detailed(case.result(Outcome.UNSUPPORTED, str(lack), lack.kind), run)
    except SpecFailure as failure:
        result = case.result(Outcome.FAILED, str(failure))
        details = replace(result, path=failure.path, expected=failure.expected, actual=failure.actual)
        return _detailed(details, run, failure if failure.__cause__ is not None else None)
    except RunnerError as error:
        return _detailed(case.result(Outcome.FAILED, f"the test cannot be run: {error}"), run, error)
    except Exception as error:
        text = f"it did not end within {limit:.0f} s" if scope.cancelled_caught else f"{type(error).__name__}: {error}"
        return _detailed(case.result(Outcome.FAILED, text), run, error)
    return case.result(Outcome.PASSED)


def _detailed(result: TestResult, run: TestRun, error: BaseException | None = None) -> TestResult:
    text = "".join(traceback.format_exception(error)) if error is not None else ""
    return replace(result, traceback=text, events=tuple(_events(run)), wire=tuple(_wire(run.trace)))


def _events(run: TestRun) -> Iterator[EventsReport]:
    for expected in run.test.expect_events or ():
        try:
            observed = run.observed(expected)
        except RunnerError:
            observed = []  # the test ended before there was such a client
        yield EventsReport(
            expected.client,
            expected.event_type,
            tuple(event.document for event in expected.events),
            tuple(event.document for event in observed),
        )


def _wire(trace: Trace) -> Iterator[WireLine]:
    for seconds, client, event in trace.lines:
        yield WireLine(seconds, client, spec_name(event) or type(event).__name__, describe(event))


async def run_data_case(suite: str, case: DataCase, backend: str = "") -> TestResult:
    """Run one case of a data-driven suite; with the backend ``threads``, as a synchronous call."""
    begin = time.perf_counter()
    result = TestResult(suite, case.file, case.description, Outcome.PASSED)
    try:
        if backend == "threads":
            await anyio.to_thread.run_sync(_in_threads, case)
        else:
            await case.run()
    except Unsupported as lack:
        result = replace(result, outcome=Outcome.UNSUPPORTED, reason=str(lack), kind=lack.kind)
    except SpecFailure as failure:
        result = replace(
            result,
            outcome=Outcome.FAILED,
            reason=str(failure),
            path=failure.path,
            expected=failure.expected,
            actual=failure.actual,
        )
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        result = replace(result, outcome=Outcome.FAILED, reason=f"{type(error).__name__}: {error}", traceback=text)
    return replace(result, seconds=time.perf_counter() - begin)


def _in_threads(case: DataCase) -> None:
    async def run() -> None:
        await case.run()

    Threads(lambda: RunnerError("a thread called within its own call")).run(run())


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. ``on_result`` is called with each result as it arrives."""

    suites: Sequence[Suite]
    text: str = ""
    stop_at_failure: bool = False
    on_result: Callable[[TestResult], None] = lambda result: None

    def count(self) -> int:
        """How many tests there are."""
        data = sum(self.text.lower() in c.description.lower() for s in self.suites for c in s.cases)
        return data + sum(1 for suite in self.suites for _ in cases(suite, self.text))


async def run_plan(plan: Plan, uri: SpecUri | None, backend: str, driver: str = "wiredrv") -> Report:
    """Run everything that the plan names. ``uri`` may be None if no suite needs a deployment."""
    report = Report(backend, driver=driver, suites=[suite.name for suite in plan.suites])
    if await _run_data(plan, report) and uri is not None:
        async with open_environment(uri) as environment:
            report.deployment = environment.deployment
            for suite in plan.suites:
                for case in cases(suite, plan.text):
                    result, _ = await run_case(case, environment)
                    if not _note(plan, report, result):
                        return report
    return report


async def _run_data(plan: Plan, report: Report) -> bool:
    for suite in plan.suites:
        for case in suite.cases:
            wanted = plan.text.lower() in f"{case.file} {case.description}".lower()
            if wanted and not _note(plan, report, await run_data_case(suite.name, case, report.backend)):
                return False
    return True


def _note(plan: Plan, report: Report, result: TestResult) -> bool:
    report.results.append(result)
    plan.on_result(result)
    return not (plan.stop_at_failure and result.outcome is Outcome.FAILED)
