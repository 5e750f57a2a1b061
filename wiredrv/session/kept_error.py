"""An error that is kept for later errors to name, without what its traceback keeps alive. Pure.

A traceback refers to the frames that the error passed, and these to their variables: users' documents, and whatever
else they held. A session that lives on must not keep them. So the error itself is only referred to weakly, and is found
for as long as it is referenced elsewhere; afterwards a copy replaces it, which has class, message, code, labels and
details, but neither traceback nor ``__cause__``.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable

from wiredrv.errors import DriverError


class KeptError:
    """Stands for an error."""

    __slots__ = ("_copy", "_error")

    def __init__(self, error: BaseException) -> None:
        self._copy = _without_traceback(error)
        self._error: Callable[[], BaseException | None]
        try:
            self._error = weakref.ref(error)
        except TypeError:  # an instance of a class of Python's own
            self._error = _gone

    def get(self) -> BaseException:
        """The error itself while it lives, then its copy."""
        error = self._error()
        return self._copy if error is None else error


def _without_traceback(error: BaseException) -> BaseException:
    if isinstance(error, DriverError):
        return copy.copy(error)
    # The constructor of a user's class is not called: its arguments are not known here.
    name = type(error).__name__
    try:
        return DriverError(f"{name}: {error}")
    except Exception:  # the class's own __str__ failed
        return DriverError(name)


def _gone() -> None:
    return None
