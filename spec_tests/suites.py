"""Where the specifications are, and which of their files make up a suite.

A suite has the name of its specification's folder. Its unified files run against a deployment; its data-driven
cases, if a reader for them is registered in ``DATA_SUITES``, run without one and are reported as ``FOLDER:data``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spec_tests.data import DATA_SUITES
from spec_tests.data.case import DataCase

_VARIABLE = "WIREDRV_SPECS"
_PROJECT = Path(__file__).resolve().parents[1]
#: Where to look if nothing is named: what ``make specs`` fetched, then a folder beside this repository.
PLACES = (_PROJECT / ".specifications", _PROJECT.parent / "shared" / "specifications")
# The format's own suite: only these are tests of a driver; the others test the runner.
_FORMAT_SUITE, _FORMAT_FOLDER = "unified-test-format", "valid-pass"
_HELP = f"get them with `make specs`, or name a clone with --specs DIR or the environment variable {_VARIABLE}"


class SpecsMissing(Exception):
    """There is no specifications repository; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The unified files of one specification, or its data-driven cases."""

    name: str
    folder: Path
    files: tuple[Path, ...] = ()
    cases: tuple[DataCase, ...] = ()

    @property
    def needs_deployment(self) -> bool:
        return bool(self.files)


def find_specs(given: str | os.PathLike[str] | None = None) -> Path:
    """The ``source`` folder of the specifications.

    :param given: the repository or its ``source``; without it, what the environment variable ``WIREDRV_SPECS`` names;
        without that, the first of :data:`PLACES` that has them. If a place is named, no other is searched.
    :raises SpecsMissing: they were not found.
    """
    named = given or os.environ.get(_VARIABLE)
    places = (Path(named),) if named else PLACES
    for place in places:
        for folder in (place / "source", place):
            if (folder / _FORMAT_SUITE).is_dir():
                return folder.resolve()
    where = " or ".join(str(place) for place in places)
    raise SpecsMissing(f"MongoDB's specifications are not at {where}: {_HELP}")


def discover(source: Path, names: Sequence[str] = ()) -> list[Suite]:
    """The suites called ``names``, or all that there are. ``FOLDER`` means unified tests and data.

    :raises SpecsMissing: a name is not a folder of the specifications, or has no tests that can be run.
    """
    suites: list[Suite] = []
    for name in names or sorted(path.name for path in source.iterdir() if (path / "tests").is_dir()):
        folder, colon, kind = name.partition(":")
        if not (source / folder / "tests").is_dir() or kind not in ("", "data"):
            known = ", ".join(sorted(path.name for path in source.iterdir() if (path / "tests").is_dir()))
            raise SpecsMissing(f"{name!r} is no suite; the suites are: {known}")
        found = [] if colon else _unified(source, folder)
        found += _data(source, folder)
        if not found and names:
            raise SpecsMissing(f"the suite {name!r} has no tests that this runner knows")
        suites += [suite for suite in found if suite.name not in {known.name for known in suites}]
    return suites


def unified_files(folder: Path) -> tuple[Path, ...]:
    """The files below ``folder`` that are in the unified test format."""
    return tuple(path for path in sorted(folder.rglob("*.json")) if _is_unified(path))


def _unified(source: Path, folder: str) -> list[Suite]:
    tests = source / folder / "tests"
    files = unified_files(tests / _FORMAT_FOLDER if folder == _FORMAT_SUITE else tests)
    return [Suite(folder, tests, files)] if files else []


def _data(source: Path, folder: str) -> list[Suite]:
    read = DATA_SUITES.get(folder)
    tests = source / folder / "tests"
    return [Suite(f"{folder}:data", tests, cases=tuple(read(tests)))] if read is not None else []


def _is_unified(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    if '"schemaVersion"' not in text:
        return False
    document: Any = json.loads(text)
    return isinstance(document, dict) and "schemaVersion" in document and "tests" in document
