"""What ``async with`` does with a session: the blocks of a transaction and of a binding, and ``unbound()``.

Each block restores, at its end, what it found; a transaction's block that is left by an error or a cancellation undoes
the transaction under a shield.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from wiredrv.client import binding

if TYPE_CHECKING:
    from wiredrv.client.client_session import ClientSession


class TransactionContext:
    """What :meth:`ClientSession.start_transaction` returns: commits at the end of its block, or aborts."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._session.in_transaction:
            return
        if error is None:
            await self._session.commit_transaction()
        else:
            await self._session._abort_quietly()

    def __await__(self) -> Generator[Any, Any, Self]:
        yield from ()
        return self


class SessionBinding:
    """What :meth:`ClientSession.bind` returns."""

    def __init__(self, session: ClientSession, end_session: bool) -> None:
        self._session = session
        self._end_session = end_session
        self._outer: list[binding.Binding | None] = []

    async def __aenter__(self) -> ClientSession:
        self._session._refuse_if_ended()
        self._outer.append(binding.bind(self._session, self._session._state))
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        binding.restore(self._outer.pop())
        if self._end_session:
            await self._session.end_session()


@contextlib.contextmanager
def unbound() -> Generator[None, None, None]:
    """Run the calls of the block outside of any binding: with implicit sessions, unless they name one."""
    outer = binding.unbind()
    try:
        yield
    finally:
        binding.restore(outer)
