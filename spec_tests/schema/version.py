"""Version strings of the format: ``major``, ``major.minor`` or ``major.minor.patch``, compared number by number.

Unified test format specification, "Version String".
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FORM = re.compile(r"[0-9]+(\.[0-9]+){0,2}")
_LEADING = re.compile(r"[0-9]+(\.[0-9]+){0,2}")


class Version(NamedTuple):
    """Three numbers; missing ones are zero."""

    major: int
    minor: int = 0
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version string of a test file.

        :raises ValueError: it has another form.
        """
        if not _FORM.fullmatch(text):
            raise ValueError(f"{text!r} is no version: one to three numbers joined by dots")
        return cls(*(int(part) for part in text.split(".")))

    @classmethod
    def of_server(cls, text: str) -> Version:
        """Read a server's version, without what follows the first three numbers, as in ``4.9.0-alpha4``."""
        found = _LEADING.match(text)
        if found is None:
            raise ValueError(f"{text!r} is no server version")
        return cls.parse(found.group())

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"
