"""The runner's own exceptions: the ways in which a specification test can end other than by passing.

There are three, which must not be confused:

* :class:`SpecFailure`: the driver did not do what the test expects.
* :class:`Unsupported`: this driver or this runner lacks what the test needs; ``kind`` groups such tests in reports.
* :class:`RunnerError`: the file asks for something that the format does not have, or refers to something that does not
  exist.

They derive from Exception, not from the driver's errors, so that no expectation about the driver's errors can
swallow one of them.
"""

from __future__ import annotations

from typing import Any


class SpecFailure(Exception):
    """An assertion of the test does not hold.

    :param message: what differs, in words.
    :param path: the key path of the expectation, as ``expectEvents[0].events[2].commandStartedEvent.command.lsid``.
    :param expected: the expected value at that path.
    :param actual: the value that was found.
    """

    def __init__(self, message: str, path: str = "", expected: Any = None, actual: Any = None) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.expected = expected
        self.actual = actual


class Unsupported(Exception):
    """The driver or the runner lacks something. ``kind`` is short and stable, the message says more."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


class RunnerError(Exception):
    """The test cannot be carried out as it is written."""


class SchemaError(RunnerError):
    """A file does not follow the unified test format. ``path`` is the key path of the mistake."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path or 'the file'}: {message}")
        self.path = path
