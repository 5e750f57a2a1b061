"""Where the specifications' own test data is, and how to read it.

The data is read in place and is not part of this project; :func:`spec_tests.suites.find_specs` finds it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from spec_tests.suites import SpecsMissing, find_specs


def find_spec_dir() -> Path | None:
    """The ``source`` directory of the specifications, or None."""
    try:
        return find_specs()
    except SpecsMissing:
        return None


def spec_dir() -> Path:
    """The ``source`` directory of the specifications; without it, skip the test, or fail it where ``CI`` is set."""
    try:
        return find_specs()
    except SpecsMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


class SpecFile(NamedTuple):
    """One file of test data."""

    name: str
    data: dict[str, Any]


def load(*patterns: str) -> list[SpecFile]:
    """Read the JSON files that match, below the ``source`` directory; an empty list if there are none.

    For parametrizing: combine it with :func:`check_count`, so that a pattern that matches nothing does not pass.
    """
    directory = find_spec_dir()
    if directory is None:
        return []
    paths = sorted({path for pattern in patterns for path in directory.glob(pattern)})
    return [SpecFile(str(path.relative_to(directory)), json.loads(path.read_text("utf-8"))) for path in paths]


def check_count(cases: list[Any], expected: int) -> None:
    """Fail unless there are as many cases as the specifications contained when the test was written, or more."""
    spec_dir()
    assert len(cases) >= expected, f"{len(cases)} cases found, at least {expected} expected: did the data move?"
