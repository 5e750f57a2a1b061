"""One case of a data-driven suite, how the files are read, and how the cases are judged."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from spec_tests.errors import SpecFailure
from wiredrv.errors import ConfigurationError

Case = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DataCase:
    """One case of a data-driven suite. ``run`` raises SpecFailure or Unsupported unless it passes."""

    file: str
    description: str
    run: Callable[[], Awaitable[None]]


def files(tests: Path, *patterns: str) -> Iterator[tuple[str, Case]]:
    """The JSON files below ``tests`` that match, with their names relative to it, in order."""
    for path in sorted({path for pattern in patterns for path in tests.glob(pattern)}):
        yield str(path.relative_to(tests)), json.loads(path.read_text("utf-8"))


def listed(tests: Path, pattern: str, check: Callable[[Case], None]) -> Iterator[DataCase]:
    """The cases of files that list them under ``tests``."""
    for name, document in files(tests, pattern):
        for case in document["tests"]:
            yield DataCase(name, case["description"], synchronous(partial(check, case)))


def whole(tests: Path, patterns: tuple[str, ...], check: Callable[[Case], None]) -> Iterator[DataCase]:
    """The cases of files that contain one case each."""
    for name, document in files(tests, *patterns):
        yield DataCase(name, document.get("description", name), synchronous(partial(check, document)))


def synchronous(check: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    """A synchronous check as the asynchronous function that a case runs."""

    async def run() -> None:
        check()

    return run


def equal(path: str, actual: Any, expected: Any) -> None:
    """Fail unless the two are equal."""
    if actual != expected:
        raise SpecFailure(f"expected {expected!r}, found {actual!r}", path, expected, actual)


def refused(path: str, call: Callable[[], object], pattern: str = "") -> None:
    """Fail unless the call raises a ConfigurationError whose message matches ``pattern``."""
    try:
        found = call()
    except ConfigurationError as error:
        if not re.search(pattern, str(error)):
            raise SpecFailure(f"expected an error like {pattern!r}, not {error}", path) from error
        return
    raise SpecFailure(f"expected a ConfigurationError, got {found!r}", path)
