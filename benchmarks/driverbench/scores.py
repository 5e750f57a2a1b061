"""Pure arithmetic: the specification's percentiles and scores, ratios within rounds, composites, targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from benchmarks.driverbench.drivers import BASELINE
from benchmarks.driverbench.tasks import TASKS

PERCENTILES = (10, 25, 50, 75, 90, 95, 98, 99)


@dataclass(frozen=True)
class Contender:
    """A driver on an event loop."""

    driver: str
    backend: str

    def __str__(self) -> str:
        return self.driver if self.backend == "asyncio" else f"{self.driver} on {self.backend}"


@dataclass(frozen=True)
class Sample:
    """One iteration: seconds of the clock, seconds of the process."""

    task: str
    contender: Contender
    round_number: int
    megabytes: float
    seconds: float
    cpu: float


@dataclass(frozen=True)
class Score:
    """One contender in one task. Megabytes are 1,000,000 bytes; a ratio is the median of the rounds' own ratios.

    ``ratio`` is MB/s over PyMongo Async's: above 1 is faster. ``cpu_ratio`` is process time over PyMongo Async's: below
    1 is cheaper.
    """

    task: str
    contender: Contender
    rounds: int
    megabytes_per_second: float
    cpu_ms: float
    ratio: float | None
    cpu_ratio: float | None
    percentiles: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"contender": str(self.contender)}


def percentile(seconds: Sequence[float], number: int) -> float:
    """The specification's nearest rank."""
    ordered = sorted(seconds)
    return ordered[max(int(len(ordered) * number / 100) - 1, 0)]


def scores(samples: Iterable[Sample]) -> list[Score]:
    """A score for each contender and task, in the order of the first samples."""
    by_round: dict[tuple[str, Contender], dict[int, Sample]] = {}
    for sample in samples:
        by_round.setdefault((sample.task, sample.contender), {})[sample.round_number] = sample
    baseline = Contender(BASELINE, "asyncio")

    def ratio(key: tuple[str, Contender], metric: Callable[[Sample], float]) -> float | None:
        theirs = by_round.get((key[0], baseline), {})
        both = by_round[key].keys() & theirs.keys()
        return median(metric(by_round[key][number]) / metric(theirs[number]) for number in both) if both else None

    found = []
    for key, rounds in by_round.items():
        seconds = [sample.seconds for sample in rounds.values()]
        megabytes = next(iter(rounds.values())).megabytes
        found.append(
            Score(
                task=key[0],
                contender=key[1],
                rounds=len(rounds),
                megabytes_per_second=megabytes / percentile(seconds, 50),
                cpu_ms=median(sample.cpu for sample in rounds.values()) * 1e3,
                ratio=ratio(key, lambda sample: sample.megabytes / sample.seconds),
                cpu_ratio=ratio(key, lambda sample: sample.cpu),
                percentiles={str(number): percentile(seconds, number) for number in PERCENTILES},
            )
        )
    return found


def composites(found: Iterable[Score]) -> dict[str, dict[str, float]]:
    """The specification's composite scores in MB/s, by contender. Who lacks a task of a composite lacks that too."""
    speeds: dict[str, dict[str, float]] = {}
    for score in found:
        speeds.setdefault(str(score.contender), {})[score.task] = score.megabytes_per_second
    measured = {task for tasks in speeds.values() for task in tasks}
    members = {
        "SingleBench": {task.name for task in TASKS.values() if task.group == "single" and task.direction},
        "MultiBench": {task.name for task in TASKS.values() if task.group == "multi"},
        "ParallelBench": {task.name for task in TASKS.values() if task.group == "parallel"},
        "ReadBench": {task.name for task in TASKS.values() if task.direction == "read"},
        "WriteBench": {task.name for task in TASKS.values() if task.direction == "write"},
    }
    result: dict[str, dict[str, float]] = {}
    for contender, tasks in speeds.items():
        own = {
            name: fmean(tasks[task] for task in wanted & measured)
            for name, wanted in members.items()
            if wanted & measured and wanted & measured <= tasks.keys()
        }
        if own.keys() >= {"ReadBench", "WriteBench"}:
            own["DriverBench"] = (own["ReadBench"] + own["WriteBench"]) / 2
        result[contender] = own
    return result


@dataclass(frozen=True)
class Target:
    """What a contender's ratio to PyMongo Async must be in a task: MB/s at least, process time at most."""

    task: str
    contender: Contender
    at_least: float
    cpu_at_most: float | None = None


_WIREDRV = Contender("wiredrv", "asyncio")
#: Two measurements of the same thing differ by this much: "no slower" is at least 1 less this.
_NOISE = 0.03
_AHEAD = 1.0
_NO_SLOWER = 1.0 - _NOISE
TARGETS: tuple[Target, ...] = (
    Target("run command", _WIREDRV, 2.0),
    Target("find one by id", _WIREDRV, 2.0),
    Target("small insert one", _WIREDRV, 1.1),
    Target("large insert one", _WIREDRV, _NO_SLOWER, 0.9),
    Target("find many", _WIREDRV, 1.25),
    Target("find many", Contender("wiredrv, prefetch", "asyncio"), 1.5),
    *(
        Target(f"{size} {kind}", _WIREDRV, _NO_SLOWER, 0.9)
        for kind in ("bulk insert", "collection bulk")
        for size in ("small", "large")
    ),
    Target("mixed collection bulk", _WIREDRV, _AHEAD),
    Target("GridFS upload", _WIREDRV, 1.2),
    Target("GridFS download", _WIREDRV, 1.2),
    *(Target(name, _WIREDRV, _AHEAD) for name in ("LDJSON import", "LDJSON export", "GridFS import", "GridFS export")),
)


@dataclass(frozen=True)
class Verdict:
    """What a target asks for, and what was measured. A target that was not measured is not met."""

    what: str
    wanted: str
    measured: float | None
    met: bool


def judge(found: Iterable[Score], targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """A verdict for each limit of each target."""
    by_key = {(score.task, score.contender): score for score in found}
    verdicts = []
    for target in targets:
        score = by_key.get((target.task, target.contender))
        what = f"{target.task}, {target.contender}"
        ratio = score.ratio if score else None
        verdicts.append(
            Verdict(f"MB/s of {what}", f">= {target.at_least:g}", ratio, ratio is not None and ratio >= target.at_least)
        )
        if target.cpu_at_most is not None:
            cpu = score.cpu_ratio if score else None
            met = cpu is not None and cpu <= target.cpu_at_most
            verdicts.append(Verdict(f"CPU of {what}", f"<= {target.cpu_at_most:g}", cpu, met))
    return verdicts
