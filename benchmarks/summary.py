"""Pure arithmetic over samples: medians over rounds, and ratios taken within rounds.

A ratio of two contenders is the median of the ratios of each round, not the ratio of two medians: whatever
happened to the machine in one round affected both of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from benchmarks.contenders import BASELINE
from benchmarks.measurement import Cell, Sample

Metric = Callable[[Sample], float]


def ops_per_second(sample: Sample) -> float:
    return sample.ops_per_second


def cpu_us_per_op(sample: Sample) -> float:
    return sample.cpu_us_per_op


@dataclass(frozen=True)
class Line:
    """One contender in one cell: medians over its rounds, its slowest and fastest round, ratios to PyMongo."""

    cell: Cell
    contender: str
    rounds: int
    ops_per_second: float
    slowest: float
    fastest: float
    cpu_us_per_op: float
    ops_ratio: float | None
    cpu_ratio: float | None

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        return {**fields.pop("cell"), **fields}


class Results:
    """The samples by cell, contender and round."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples: dict[tuple[Cell, str], dict[int, Sample]] = {}
        for sample in samples:
            rounds = self._samples.setdefault((sample.job.cell, sample.job.contender), {})
            rounds[sample.job.round_number] = sample

    def ratio(self, metric: Metric, cell: Cell, contender: str, reference: tuple[Cell, str]) -> float | None:
        """The contender's `metric` over the reference's, in the median round; None where no round has both."""
        mine, theirs = self._samples.get((cell, contender), {}), self._samples.get(reference, {})
        ratios = [metric(mine[number]) / metric(theirs[number]) for number in mine.keys() & theirs.keys()]
        return median(ratios) if ratios else None

    def lines(self) -> list[Line]:
        """A line for every contender in every cell, in the order in which they were first measured."""
        return [
            self._line(cell, contender, list(rounds.values())) for (cell, contender), rounds in self._samples.items()
        ]

    def _line(self, cell: Cell, contender: str, samples: list[Sample]) -> Line:
        speeds = [sample.ops_per_second for sample in samples]
        reference = baseline_cell(cell), BASELINE
        return Line(
            cell=cell,
            contender=contender,
            rounds=len(samples),
            ops_per_second=median(speeds),
            slowest=min(speeds),
            fastest=max(speeds),
            cpu_us_per_op=median(map(cpu_us_per_op, samples)),
            ops_ratio=self.ratio(ops_per_second, cell, contender, reference),
            cpu_ratio=self.ratio(cpu_us_per_op, cell, contender, reference),
        )


def baseline_cell(cell: Cell) -> Cell:
    """The cell of PyMongo that `cell` is compared with: on the same loop or on threads, and for trio on asyncio."""
    return replace(cell, backend="asyncio") if cell.backend == "trio" else cell
