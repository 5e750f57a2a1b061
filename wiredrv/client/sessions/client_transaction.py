"""``client.transaction()``: a session, a transaction and a binding in one block."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from wiredrv.client.misuse import AsyncBlock, warn_never_entered
from wiredrv.client.sessions.binding import bound_around, bound_transaction, opened_at
from wiredrv.client.sessions.blocks import SessionBinding
from wiredrv.errors import InvalidOperation
from wiredrv.session.options import TransactionOptions

if TYPE_CHECKING:
    from wiredrv.client.client import Client
    from wiredrv.client.sessions.blocks import TransactionContext
    from wiredrv.client.sessions.client_session import ClientSession
    from wiredrv.session.state import SessionState


class ClientTransaction(AsyncBlock):
    """What :meth:`Client.transaction` returns: ``async with`` runs its block in a transaction, and returns the session.

    Within the block of a bound session without a transaction, both are causally consistent with one another: the
    transaction sees what that session did, and that session what the transaction did.

    It is entered once; entered again, it raises InvalidOperation. It warns when it is collected without being entered.

    This driver's own; what it runs is in the transactions specification.
    """

    _written = "client.transaction()"
    #: A class attribute until an instance is complete: a finalizer also runs where ``__init__`` failed.
    _used = True

    def __init__(
        self, client: Client[Any], options: TransactionOptions, join: bool, inherit: bool, origin: str
    ) -> None:
        self._client = client
        self._options = options
        self._join = join
        self._inherit = inherit
        self._origin = origin
        self._session: ClientSession | None = None
        self._binding: SessionBinding | None = None
        self._block: TransactionContext | None = None
        #: The session that is bound around the block.
        self._around: SessionState | None = None
        self._used = False

    async def __aenter__(self) -> ClientSession:
        self._used = True
        if self._session is not None:
            raise InvalidOperation("client.transaction() is entered only once: call it again for another one")
        outer = bound_transaction(self._client._core.executor)
        if outer is not None:
            if not self._join:
                raise InvalidOperation(
                    f"a transaction opened at {opened_at(outer)} is bound here: end it first, take part in it with "
                    "client.transaction(join=True), or open another one in `with wiredrv.unbound():`"
                )
            self._session = outer
            if self._inherit:
                self._binding = SessionBinding(outer, False, True, self._origin)
                await self._binding.__aenter__()
            return outer
        self._around = bound_around(self._client._core.executor)
        session = self._session = self._client.start_session()
        if self._around is not None:
            session._state.continue_from(self._around)
        options = self._options
        try:
            self._block = session.start_transaction(
                options.read_concern, options.write_concern, options.read_preference, options.max_commit_time_ms
            )
            self._binding = SessionBinding(session, True, self._inherit, self._origin)
            session._state.origin = self._origin
            return await self._binding.__aenter__()
        except BaseException:
            await session.end_session()
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._binding is None:
            return  # The outer transaction, which this one joined, ends it.
        # Tasks that inherited the binding may not start operations any more: these would run outside of the
        # transaction.
        self._binding.leave()
        try:
            if self._block is not None:
                await self._block.__aexit__(exc_type, exc, traceback)
        finally:
            if self._around is not None and self._session is not None:
                self._around.continue_from(self._session._state)
                self._around.after = self._session._state.after  # None once they are confirmed or refused
            await self._binding.__aexit__(exc_type, exc, traceback)

    def __del__(self) -> None:
        if not self._used:
            warn_never_entered("client.transaction()", self._origin, self._client._core.block)
