"""The directory that a deployment lives in.

A temporary directory is created for the deployment and removed with it. A directory that was given is kept; its
``deployment.json`` says what it holds, so that the same deployment can be started from it again, on the same ports: the
members of a replica set identify each other by them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from wiredrv.errors import ConfigurationError

_RECORD = "deployment.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What a kept directory holds: the deployment's kind, and its members' ports."""

    kind: str
    ports: tuple[int, ...]


class Home:
    """The directory of one deployment. ``path`` exists from the start."""

    def __init__(self, directory: str | os.PathLike[str] | None, root: Path | None = None) -> None:
        """Make a temporary directory, or take the given one.

        :param root: where a temporary directory is made; None leaves that to the system.
        :raises ConfigurationError: the given one cannot be created.
        """
        self.temporary = directory is None
        if directory is None:
            self.path = Path(tempfile.mkdtemp(prefix="wiredrv-", dir=root))
            return
        self.path = Path(directory).absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be used as a directory: {error.strerror}") from error

    def read_record(self) -> Record | None:
        """What the directory already contains; None if it is empty.

        :raises ConfigurationError: it contains something other than a deployment.
        """
        try:
            written = json.loads((self.path / _RECORD).read_text())
            return Record(str(written["kind"]), tuple(int(port) for port in written["ports"]))
        except FileNotFoundError:
            if any(self.path.iterdir()):
                raise ConfigurationError(
                    f"{self.path} holds other files; name an empty directory, or a new one"
                ) from None
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{self.path / _RECORD} is damaged ({error}); name another directory") from error

    def remember(self, record: Record) -> None:
        """Store what the directory contains, if the directory is kept."""
        if not self.temporary:
            (self.path / _RECORD).write_text(json.dumps(asdict(record)) + "\n")

    def leave(self) -> None:
        """Remove the directory if it is temporary."""
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)


def fixed_ports(record: Record | None, kind: str, size: int, port: int | None) -> Sequence[int] | None:
    """The ports that a deployment must have, or None when any will do.

    :param record: what the directory already holds.
    :param port: the first port requested; further members get the following ones.
    :raises ConfigurationError: the directory holds a different deployment from the one requested.
    """
    asked = None if port is None else tuple(range(port, port + size))
    if asked is not None and not 1 <= asked[0] <= asked[-1] <= 65535:
        raise ConfigurationError(f"ports must be from 1 to 65535: {size} from {port} on are not")
    if record is None:
        return asked
    if (record.kind, len(record.ports)) != (kind, size):
        raise ConfigurationError(
            f"the directory holds a {record.kind} with {len(record.ports)} member(s), not a {kind} with {size}; "
            "ask for what it holds, or name another directory"
        )
    if asked not in (None, record.ports):
        raise ConfigurationError(
            f"the directory holds a deployment on port(s) {', '.join(map(str, record.ports))}; leave the port out"
        )
    return record.ports
