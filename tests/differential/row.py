"""A row of the table of known differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.differential.calls import Step
from tests.differential.outcomes import Difference


@dataclass(frozen=True)
class Known:
    """One known difference.

    :param id: its name in reports.
    :param elsewhere: what PyMongo does.
    :param here: what wiredrv does instead.
    :param reason: why.
    :param excuses: whether a difference is this one.
    :param ends: whether the two can no longer be compared after it: one has done what the other refused.
    :param example: steps that show it: each run begins with them, so that no row outlives its difference.
    :param shown_by: for what the lab cannot see: a test that shows it, as ``tests/test_x.py::test_name``.
    """

    id: str
    elsewhere: str
    here: str
    reason: str
    excuses: Callable[[Difference], bool] = lambda difference: False
    ends: bool = False
    example: tuple[Step, ...] = ()
    shown_by: str = ""
