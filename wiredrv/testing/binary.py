"""What ``--mongodb-version-binary`` names: a server program, or the version of one that is on this machine."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from wiredrv.errors import ConfigurationError
from wiredrv.local.find import find_mongod, find_mongod_of

_VERSION = re.compile(r"v?(\d+(?:\.\d+){0,2})")


def chosen_mongod(given: str | None) -> Path | None:
    """The program that is meant.

    :param given: a path, the name of a program on ``PATH``, or a version (``7``, ``7.0``, ``7.0.14``).
    :returns: the program; None where nothing was given, and the usual places are searched.
    :raises ConfigurationError: there is none.
    """
    if given is None:
        return None
    if os.sep in given or Path(given).is_file():
        return find_mongod(given).path
    if (found := shutil.which(given)) is not None:
        return find_mongod(found).path
    if (match := _VERSION.fullmatch(given)) is not None:
        return find_mongod_of(tuple(map(int, match[1].split(".")))).path
    raise ConfigurationError(
        f"--mongodb-version-binary={given}: neither a file, nor a program on PATH, nor a version such as 7.0"
    )
