"""``client.transaction()``: a session, a transaction and a binding in one block.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.sessions.client_transaction``: do not edit.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from wiredrv.sync.base import Synchronous

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_transaction import ClientTransaction as AsyncClientTransaction
    from wiredrv.sync.client_session import ClientSession


class ClientTransaction(Synchronous):
    """What :meth:`Client.transaction` returns: ``with`` runs its block in a transaction, and returns the session.

    Within the block of a bound session without a transaction, both are causally consistent with one another: the
    transaction sees what that session did, and that session what the transaction did.

    It is entered once; entered again, it raises InvalidOperation. It warns when it is collected without being entered.

    This driver's own; what it runs is in the transactions specification.
    """

    __slots__ = ()

    _inner: AsyncClientTransaction

    def __enter__(self) -> ClientSession:
        session = self._owner._session_of(self._threads.run(self._inner.__aenter__()))
        assert session is not None
        return session

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))
