"""Functions that are called when the outcome of a transaction is known: ``on_commit``, ``on_abort``, ``on_unknown``."""

from __future__ import annotations

import logging
from collections.abc import Callable

from wiredrv import waits
from wiredrv.session.transaction import Outcome

_LOG = logging.getLogger("wiredrv.session")


class Hooks:
    """The hooks of a session's current transaction. Each is called once.

    They hold no reference to the session: the client keeps them for as long as the session is referenced, and a
    reference to it would keep it alive.
    """

    __slots__ = ("_functions",)

    def __init__(self) -> None:
        self._functions: dict[Outcome, list[Callable[[], object]]] = {}

    def add(self, outcome: Outcome, function: Callable[[], object]) -> None:
        """Call ``function`` if that becomes the outcome."""
        self._functions.setdefault(outcome, []).append(function)

    def clear(self) -> None:
        """Remove all: a new transaction begins."""
        self._functions = {}

    def run(self, outcome: Outcome | None) -> None:
        """Call the hooks of an outcome, if it is known. An unknown one may become known later."""
        if outcome is None:
            return
        functions = self._functions.pop(outcome, [])
        if outcome is not Outcome.UNKNOWN:
            self.clear()
        for function in functions:
            try:
                waits.user(function)
            except Exception:
                _LOG.exception("a hook for a transaction that is %s failed", outcome.value)
