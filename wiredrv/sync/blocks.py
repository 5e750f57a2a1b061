"""The ``with`` blocks of a session: those of a transaction and of a binding, and ``unbound()``.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.sessions.blocks``: do not edit.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from wiredrv.sync.base import Synchronous

if TYPE_CHECKING:
    from wiredrv.client.sessions.blocks import SessionBinding as AsyncSessionBinding
    from wiredrv.client.sessions.blocks import TransactionContext as AsyncTransactionContext
    from wiredrv.sync.client_session import ClientSession


class TransactionContext(Synchronous):
    """What :meth:`ClientSession.start_transaction` returns.

    ``with`` commits at the end of its block; it aborts when the block is left by an exception.

    The transaction is that of the transactions specification.
    """

    __slots__ = ()

    _inner: AsyncTransactionContext

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))


class SessionBinding(Synchronous):
    """What :meth:`ClientSession.bind` returns: ``with`` binds the session for its block, and returns it.

    It warns when it is collected without having been entered.

    This driver's own: no specification has it.
    """

    __slots__ = ()

    _inner: AsyncSessionBinding

    def __enter__(self) -> ClientSession:
        self._threads.run(self._inner.__aenter__())
        return cast("ClientSession", self._parent)

    def leave(self) -> None:
        """End the binding, for the thread and for those that inherited it. The session stays open."""
        self._threads.call(self._inner.leave)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))
