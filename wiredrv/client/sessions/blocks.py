"""The ``async with`` blocks of a session: those of a transaction and of a binding, and ``unbound()``.

The end of a binding's block restores the binding around it. A transaction's block that is left by an error or a
cancellation aborts the transaction, shielded from cancellation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from wiredrv.client.misuse import AsyncBlock, warn_never_entered
from wiredrv.client.sessions.binding import Binding
from wiredrv.session.notes import note_transaction

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession


class TransactionContext(AsyncBlock):
    """What :meth:`ClientSession.start_transaction` returns.

    ``async with`` commits at the end of its block; it aborts when the block is left by an exception or a cancellation.

    The transaction is that of the transactions specification.
    """

    _written = "session.start_transaction()"

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._session.in_transaction:
            return
        if exc is None:
            await self._session._ending.commit_block()
        else:
            note_transaction(exc, self._session._state)
            await self._session._ending.abort_quietly()

    def __await__(self) -> Generator[Any, Any, Self]:
        yield from ()
        return self


class SessionBinding(AsyncBlock):
    """What :meth:`ClientSession.bind` returns: ``async with`` binds the session for its block, and returns it.

    It warns when it is collected without having been entered.

    This driver's own: no specification has it.
    """

    _written = "session.bind()"
    #: A class attribute until an instance is complete: a finalizer also runs where ``__init__`` failed.
    _used = True

    def __init__(self, session: ClientSession, end_session: bool, inherit: bool, origin: str) -> None:
        self._session = session
        self._end_session = end_session
        self._inherit = inherit
        self._origin = origin
        self._entered: list[Binding] = []
        self._used = False

    async def __aenter__(self) -> ClientSession:
        self._used = True
        self._session._refuse_if_ended()
        self._entered.append(Binding(self._session, self._inherit, self._origin))
        return self._session

    def leave(self) -> None:
        """End the binding, for the task and for those that inherited it. The session stays open."""
        self._entered[-1].leave()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered.pop().leave()
        if self._end_session:
            await self._session.end_session()

    def __del__(self) -> None:
        if not self._used:
            warn_never_entered("session.bind()", self._origin, self._session._core.block)


@contextlib.contextmanager
def unbound() -> Generator[None, None, None]:
    """Run the calls of the block outside of any binding: with implicit sessions, unless they are given one.

    This driver's own: no specification has it.

    :returns: a context for ``with``.
    """
    binding = Binding()
    try:
        yield
    finally:
        binding.leave()
