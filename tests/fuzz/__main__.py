"""Run the fuzzer: ``python -m tests.fuzz [--seed N] [--cases N] [--case K]``, or ``make fuzz ARGS=...``.

Prints the seed first, and at the end, or when it is interrupted, the outcomes of the operations and the findings. Ends
with 1 if there were findings, and with 130 if it was interrupted.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil  # type: ignore[import-untyped]  # it comes without type information

from tests.fuzz import clock
from tests.fuzz.case import Finding, Result, backend_of, run_case
from tests.fuzz.watch import watch_loop, watching

#: Cases that share an event loop.
_BATCH = 200
#: Seconds of real time that a case may take on a busy machine before it counts as hanging.
_REAL_SECONDS = 60
#: Bytes by which the process may grow after its first thousand cases, and at one case's peak.
_GROWTH = 100 * 2**20
_PEAK = 700 * 2**20
_SHOWN = 5


class Watchdog(BaseException):
    """A case keeps the CPU busy, or waits for something outside of virtual time."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--seed", type=int, help="of all cases; without it a new one, which is printed")
    parser.add_argument("--cases", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one (0)")
    parser.add_argument("--case", type=int, nargs="+", help="replay these alone, and show what happened")
    parser.add_argument("--backend", choices=("asyncio", "trio"), help="only the cases that run on this event loop")
    parser.add_argument("--harmless", action="store_true", help="do no damage: tries the fuzzer itself")
    return parser.parse_args()


class Summary:
    """The combined results of the cases."""

    def __init__(self) -> None:
        self.cases = self.damages = 0
        self.outcomes: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self.findings: dict[str, list[Finding]] = defaultdict(list)

    def add(self, result: Result) -> None:
        """Count a case."""
        self.cases += 1
        self.damages += result.damages
        for name, outcome in result.outcomes:
            self.outcomes[outcome] += 1
            self.operations[name] += 1
        for finding in result.findings:
            if finding.kind not in self.findings:
                print(f"found: {finding.kind} (case {finding.number})", flush=True)
            self.findings[finding.kind].append(finding)

    def show(self, seed: int) -> None:
        """Print it."""
        count = sum(self.outcomes.values())
        print(
            f"\n{self.cases} cases, {self.damages} damaged replies, {count} operations of {len(self.operations)} kinds:"
        )
        for outcome, times in self.outcomes.most_common():
            print(f"  {times:8}  {outcome}")
        print(f"{len(self.findings)} kinds of findings")
        for kind, findings in sorted(self.findings.items(), key=lambda item: -len(item[1])):
            numbers = " ".join(str(finding.number) for finding in findings[:_SHOWN])
            print(f"\n{len(findings)} x {kind}\n    make fuzz ARGS='--seed {seed} --case {numbers}'")
            print("\n".join(f"    {line}" for line in findings[0].detail.strip().splitlines()[-12:]))


def _memory() -> int:
    """The current memory use of the process in bytes."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def _peak() -> int:
    """The peak memory use of the process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def _bounded() -> Iterator[None]:
    def bark(*_: Any) -> None:
        raise Watchdog(f"a case took more than {_REAL_SECONDS} s")

    previous = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, _REAL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def run_cases(seed: int, numbers: Iterable[int], *, harmless: bool = False) -> Iterator[Result]:
    """Run cases, those of each event loop in batches; an interrupted batch continues after the case that caused it."""
    waiting: dict[str, list[int]] = {"asyncio": [], "trio": []}
    for number in numbers:
        group = waiting[backend_of(number)]
        group.append(number)
        if len(group) >= _BATCH:
            yield from _run_group(backend_of(number), seed, group, harmless)
    for backend, group in waiting.items():
        yield from _run_group(backend, seed, group, harmless)


def _run_group(backend: str, seed: int, group: list[int], harmless: bool) -> Iterator[Result]:
    while group:
        # Objects that exist now are frozen, so that a collection after each case costs little. It makes finalizers run
        # during the case that they belong to.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        results: list[Result] = []
        try:
            clock.run(backend, _run_batch, seed, group, results, harmless)
        except Exception as error:
            results[-1].found(f"the event loop broke: {type(error).__name__}", repr(error))
        except (Watchdog, clock.Stuck) as error:
            results[-1].found(f"hangs: {type(error).__name__}", str(error))
        del group[: len(results)]
        yield from results


async def _run_batch(seed: int, numbers: list[int], results: list[Result], harmless: bool) -> None:
    def report(kind: str, detail: str) -> None:
        results[-1].found(kind, detail)

    with watching(report) as sessions:
        watch_loop(report)
        for number in numbers:
            result = Result(number)
            results.append(result)
            before = _peak()
            with _bounded():
                await run_case(seed, number, sessions, result, harmless=harmless)
                gc.collect()
            if _peak() > max(before, _PEAK):
                result.found("memory: one case took too much", f"{before >> 20} MB grew to {_peak() >> 20} MB")


def _replay(seed: int, numbers: list[int], harmless: bool) -> int:
    found = 0
    for result in run_cases(seed, numbers, harmless=harmless):
        print(f"case {result.number} on {backend_of(result.number)}")
        print("\n".join(f"  {line}" for line in result.log))
        for finding in result.findings:
            print(f"\nfinding: {finding.kind}\n{finding.detail}")
        found += len(result.findings)
    return 1 if found else 0


def _run_all(seed: int, numbers: list[int], summary: Summary, *, harmless: bool) -> None:
    """Run cases, report the progress from time to time, and check that the process does not grow."""
    started, warm = time.monotonic(), 0
    for result in run_cases(seed, numbers, harmless=harmless):
        summary.add(result)
        if summary.cases % 1_000 == 0:
            held = _memory()
            warm = warm or held
            if held > warm + _GROWTH:
                result.found("memory: the process grows", f"{warm >> 20} MB grew to {held >> 20} MB")
                summary.findings["memory: the process grows"].append(result.findings[-1])
            if summary.cases % 5_000 == 0:
                seconds = time.monotonic() - started
                kinds = len(summary.findings)
                print(f"{summary.cases} cases, {seconds:.0f} s, {held >> 20} MB, {kinds} kinds of findings", flush=True)


def main() -> int:
    """Run according to the command line."""
    arguments = _arguments()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**31)
    if arguments.case is not None:
        print(f"fuzz: seed {seed}", flush=True)
        return _replay(seed, arguments.case, arguments.harmless)
    summary = Summary()
    try:
        print(f"fuzz: seed {seed}", flush=True)
        numbers = [
            number
            for number in range(arguments.first, arguments.first + arguments.cases)
            if arguments.backend in (None, backend_of(number))
        ]
        _run_all(seed, numbers, summary, harmless=arguments.harmless)
    except KeyboardInterrupt:
        print("interrupted")
        summary.show(seed)
        return 130
    summary.show(seed)
    return 1 if summary.findings else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of addresses determines, among other things, which monitor starts first.
        os.execve(
            sys.executable, [sys.executable, "-m", "tests.fuzz", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    sys.exit(main())
