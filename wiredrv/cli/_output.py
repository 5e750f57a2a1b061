"""Where a command writes: the standard output, a pipe, or a file that appears when it is complete."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from wiredrv.errors import ConfigurationError


@contextmanager
def output_to(name: str) -> Iterator[IO[str]]:
    """A text file to write to; ``-`` is the standard output.

    A regular file is written beside its place, and takes it when the block ends without an error: whoever looks there
    sees the old file or the whole new one. Devices and named pipes are written directly.

    :raises ConfigurationError: it cannot be written.
    """
    if name == "-":
        yield sys.stdout
        sys.stdout.flush()
        return
    path = Path(name)
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is not None and stat.S_ISDIR(mode):
            raise ConfigurationError(f"{name} is a directory: name a file in it")
        if mode is not None and not stat.S_ISREG(mode):
            with path.open("w", encoding="utf-8", newline="\n") as device:
                yield device
            return
        # A symbolic link stays one.
        with _beside(path.resolve(), mode) as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be written: {error.strerror or error}") from error


@contextmanager
def _beside(path: Path, mode: int | None) -> Iterator[IO[str]]:
    descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(made, _usual_mode() if mode is None else stat.S_IMODE(mode))
        os.replace(made, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(made)
        raise


def _usual_mode() -> int:
    """The permissions of a new file. (``mkstemp`` lets its owner alone read it.)"""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
