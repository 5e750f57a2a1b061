"""The closing of a client: a coroutine for those who await it, and more than that for those who do not."""

from __future__ import annotations

from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wiredrv.client.core import ClientCore


class Closing(Coroutine[Any, Any, None]):
    """What ``client.close()`` returns: awaiting it waits until the client is closed.

    Code that was written for Motor calls ``client.close()`` without ``await``. In the client's event loop, the closing
    has begun with the call and goes on in the background. Anywhere else, what is dropped without being awaited drops
    the connections.

    :param core: of the client.
    """

    __slots__ = ("_awaited", "_core")

    def __init__(self, core: ClientCore) -> None:
        self._core = core
        self._awaited: Coroutine[Any, Any, None] | None = None
        core.begin_to_close()

    def _coroutine(self) -> Coroutine[Any, Any, None]:
        if self._awaited is None:
            self._awaited = self._core.close()
        return self._awaited

    def __await__(self) -> Any:
        return self._coroutine().__await__()

    def send(self, value: Any) -> Any:
        """As of any coroutine: event loops call it."""
        return self._coroutine().send(value)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """As of any coroutine: event loops call it."""
        error = typ if isinstance(typ, BaseException) else val if isinstance(val, BaseException) else typ()
        return self._coroutine().throw(error)

    def close(self) -> None:
        """As of any coroutine: it is not awaited any longer. The client is closed nevertheless."""
        if self._awaited is not None:
            self._awaited.close()

    def __del__(self) -> None:
        if self._awaited is None:
            self._core.drop_if_open()
