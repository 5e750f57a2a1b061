"""The ambient session of a client: every operation of the client uses it, whichever session the call names.

A test sets one whose transaction is aborted at the end (``wiredrv.testing``); a program has none. It belongs to the
client and not to a context: the task of a test is not always the one that its fixtures ran in, and the code under test
may start tasks and threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from wiredrv.session.options import SessionOptions
from wiredrv.session.state import SessionState

if TYPE_CHECKING:
    from wiredrv.client.client import Client
    from wiredrv.client.sessions.client_session import ClientSession


class Ambient(Protocol):
    """The ambient session of a client."""

    @property
    def session(self) -> ClientSession:
        """The session itself, for objects that keep one."""
        ...

    def join(self, state: SessionState | None) -> SessionState:
        """The session that a call runs in.

        :param state: the session that the call names, or that is bound; None for an implicit one.
        :raises InvalidOperation: the session has ended, or the ambient one cannot be used any longer.
        """
        ...

    def start_session(self, client: Client[Any], options: SessionOptions) -> ClientSession:
        """What ``start_session()`` of the client returns."""
        ...
