"""The run: rounds in which every contender takes its turn, each in a process of its own.

Rules kept here:

* Contenders alternate cell by cell: within one cell of one round they run straight after one another, and whoever
  begins changes from round to round. A drift of the machine hits all of them.
* One process for each contender, backend and round. Only one of them works at a time: the others sleep in a read.
* A failed measurement is kept and named; the run goes on.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import groupby, product
from typing import Any, Self

from benchmarks.contenders import CONTENDERS, Backend, Target
from benchmarks.measurement import Cell, Job, Sample
from benchmarks.referee import Referee
from benchmarks.workload import Operation, WrongResult

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Selection:
    """What is to be measured, and for how long: `seconds` for each measurement.

    `concurrencies` are numbers of tasks, `thread_counts` those of threads.
    """

    contenders: Sequence[str]
    backends: Sequence[Backend]
    operations: Sequence[Operation]
    concurrencies: Sequence[int]
    thread_counts: Sequence[int]
    rounds: int
    seconds: float


@dataclass
class Outcome:
    """All that a run found: samples in the order taken, failures by job, and which contenders could not run."""

    samples: list[Sample] = field(default_factory=list)
    failures: list[tuple[Job, str]] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    server_version: str = ""


def rotated(names: Sequence[str], by: int) -> list[str]:
    """`names`, rotated by `by` places."""
    turn = by % len(names) if names else 0
    return [*names[turn:], *names[:turn]]


def plan(selection: Selection) -> Iterator[Job]:
    """Every job of a run, in order: rounds outermost, contenders innermost."""
    cells = [
        Cell(backend, operation, concurrency)
        for backend, operation in product(selection.backends, selection.operations)
        for concurrency in (selection.thread_counts if backend == "threads" else selection.concurrencies)
    ]
    for round_number in range(selection.rounds):
        for cell in cells:
            able = [
                name
                for name in selection.contenders
                if cell.backend in CONTENDERS[name].backends and cell.operation in CONTENDERS[name].operations
            ]
            for position, name in enumerate(rotated(able, round_number)):
                yield Job(cell, name, round_number, position)


def run(selection: Selection, uri: str, progress: Callable[[Job, Sample | None], None]) -> Outcome:
    """Carry out the whole plan at `uri`; `progress` is called after each job, with None for its sample if it failed."""
    outcome = Outcome()
    with Referee(uri) as referee:
        outcome.server_version = referee.server_version
        for _, jobs in groupby(plan(selection), key=lambda job: (job.round_number, job.cell.backend)):
            with ExitStack() as stack:
                turn = Turn(referee, uri, selection.seconds, outcome)
                for job in turn.start_processes(list(jobs), stack):
                    progress(job, turn.take(job))
    return outcome


class Turn:
    """One backend's turn in one round: its processes, and the jobs they do one after the other."""

    def __init__(self, referee: Referee, uri: str, seconds: float, outcome: Outcome) -> None:
        self.referee = referee
        self.uri = uri
        self.seconds = seconds
        self.outcome = outcome
        self.processes: dict[str, WorkerProcess] = {}

    def start_processes(self, jobs: Sequence[Job], stack: ExitStack) -> Iterable[Job]:
        """Start a process for every contender of `jobs`; the jobs whose contender can run here."""
        backend = jobs[0].cell.backend
        for name in dict.fromkeys(job.contender for job in jobs):
            process = stack.enter_context(WorkerProcess("benchmarks.worker", name, backend))
            reason = process.answer()["unavailable"]
            if reason is None:
                self.processes[name] = process
            else:
                self.outcome.unavailable[f"{name} on {backend}"] = reason
        return [job for job in jobs if job.contender in self.processes]

    def take(self, job: Job) -> Sample | None:
        """Make one measurement and check the end state; None, with a failure noted, where either goes wrong."""
        try:
            sample = self._measure(job)
            self.referee.verify(job.cell.operation, sample.performed)
        except (WorkerFailed, WrongResult) as exc:
            self.outcome.failures.append((job, str(exc)))
            return None
        self.outcome.samples.append(sample)
        return sample

    def _measure(self, job: Job) -> Sample:
        collection = self.referee.prepare(job.cell.operation, job.cell.concurrency)
        target = Target(self.uri, self.referee.primary, collection, job.cell.concurrency)
        process = self.processes[job.contender]
        process.ask({"job": asdict(job), "target": asdict(target), "seconds": self.seconds})
        answer = process.answer(self.seconds)
        if "failure" in answer:
            raise WorkerFailed(answer["failure"])
        return Sample(job, **answer | {"performed": tuple(answer["performed"])})


class WorkerFailed(Exception):
    """A measuring process reported an error, ended, or did not answer in time."""


class WorkerProcess:
    """The parent's end of a process that measures; use it as a context manager.

    :param module: the program, ``benchmarks.worker`` for one.
    :param arguments: its arguments.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self.command = [sys.executable, "-m", module, *arguments]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.requests, self.answers = self.process.stdin, self.process.stdout
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.wait()
        self.answers.close()
        try:
            self.requests.close()
        except BrokenPipeError:
            pass  # The worker has ended, so the request cannot be read.

    def ask(self, request: dict[str, Any]) -> None:
        try:
            self.requests.write(json.dumps(request) + "\n")
            self.requests.flush()
        except BrokenPipeError:
            raise WorkerFailed("the measuring process has ended") from None

    def answer(self, expected_seconds: float = 0.0) -> dict[str, Any]:
        """The next line of the process, waited for no longer than a minute beyond what it is expected to take."""
        # One line answers one request, so nothing can be left over in the reader's buffer when this waits.
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            if not selector.select(2 * expected_seconds + PATIENCE_SECONDS):
                self.process.kill()
                raise WorkerFailed("no answer in time; the measuring process was killed")
        line = self.answers.readline()
        if not line:
            raise WorkerFailed(f"the measuring process ended with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer
