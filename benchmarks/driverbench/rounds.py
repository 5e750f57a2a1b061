"""The run: every contender has a process of its own for a task, and they take turns, an iteration each.

Who begins changes from round to round, so that a drift of the machine affects all of them. Only one process works at a
time; the others wait for a line, with an idle client. The first iteration of each is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks.driverbench.data import DataSets
from benchmarks.driverbench.drivers import DRIVERS
from benchmarks.driverbench.referee import Referee
from benchmarks.driverbench.scores import Contender, Sample
from benchmarks.driverbench.tasks import TASKS, Task, WrongResult
from benchmarks.rounds import WorkerFailed, WorkerProcess, rotated

#: Seconds that an iteration may take.
_PATIENCE = 300.0


@dataclass(frozen=True)
class Selection:
    """What is to be measured. ``full`` takes the specification's number of operations."""

    tasks: Sequence[str]
    drivers: Sequence[str]
    backends: Sequence[str]
    rounds: int
    full: bool

    def contenders(self, task: str) -> list[Contender]:
        """Those that can do a task."""
        return [
            Contender(name, backend)
            for backend in self.backends
            for name in self.drivers
            if backend in DRIVERS[name].backends and DRIVERS[name].able(task)
        ]


@dataclass
class Outcome:
    """All that a run found; ``failures`` by task and contender, ``unavailable`` with the reason."""

    samples: list[Sample] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    server_version: str = ""


def run(selection: Selection, uri: str, data: DataSets, progress: Callable[[str], None]) -> Outcome:
    """Measure all that is selected at ``uri``; ``progress`` is called with a line for each iteration."""
    outcome = Outcome()
    with Referee(uri, data) as referee:
        outcome.server_version = referee.server_version
        for name in selection.tasks:
            task = TASKS[name]
            if tuple(map(int, outcome.server_version.split(".")[:2])) < task.server:
                outcome.unavailable[name] = f"needs server {'.'.join(map(str, task.server))}"
                continue
            with ExitStack() as stack:
                turns = _Turns(task, task.operations(selection.full), referee, outcome)
                turns.start(selection.contenders(name), uri, stack)
                for sample in turns.take(selection.rounds):
                    progress(f"{name}, round {sample.round_number}, {sample.contender}: {sample.seconds:.3f} s")
    return outcome


class _Turns:
    """The turns of all contenders in one task."""

    def __init__(self, task: Task, operations: int, referee: Referee, outcome: Outcome) -> None:
        self.task = task
        self.operations = operations
        self.referee = referee
        self.outcome = outcome
        self.processes: dict[Contender, WorkerProcess] = {}

    def start(self, contenders: Sequence[Contender], uri: str, stack: ExitStack) -> None:
        """Start a process for each contender that can run here."""
        data = str(self.referee.data.folder)
        for contender in contenders:
            arguments = (contender.driver, contender.backend, self.task.name, str(self.operations), uri, data)
            process = stack.enter_context(WorkerProcess("benchmarks.driverbench.worker", *arguments))
            reason = process.answer()["unavailable"]
            if reason is None:
                self.processes[contender] = process
            else:
                self.outcome.unavailable[str(contender)] = reason

    def take(self, rounds: int) -> Iterator[Sample]:
        """The samples of all rounds. A contender that fails once takes no further part in the task."""
        megabytes = self.task.megabytes(self.referee.data, self.operations)
        for number in range(rounds + 1):
            for name in rotated([str(contender) for contender in self.processes], number):
                contender = next(one for one in self.processes if str(one) == name)
                try:
                    answer = self._iteration(self.processes[contender])
                except (WorkerFailed, WrongResult) as error:
                    self.outcome.failures[f"{self.task.name}, {contender}"] = str(error)
                    del self.processes[contender]
                    continue
                if number:  # the first round warms up
                    sample = Sample(self.task.name, contender, number, megabytes, **answer)
                    self.outcome.samples.append(sample)
                    yield sample

    def _iteration(self, process: WorkerProcess) -> dict[str, Any]:
        self.referee.prepare(self.task, self.operations)
        process.ask({})
        answer = process.answer(_PATIENCE)
        if "failure" in answer:
            raise WorkerFailed(answer["failure"])
        self.referee.verify(self.task, self.operations)
        return answer
