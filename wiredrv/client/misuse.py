"""Errors and warnings for frequent mistakes in the use of asynchronous objects."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, NoReturn, Self


class AsyncBlock:
    """The base of objects that are used with ``async with``. A plain ``with`` is refused."""

    __slots__ = ()

    #: What the user wrote after ``with``.
    _written: ClassVar[str]

    if not TYPE_CHECKING:  # type checkers know without it that there is no synchronous block

        def __enter__(self) -> NoReturn:
            raise TypeError(f"use `async with {self._written}`, not `with`: leaving the block may wait for the server")

        def __exit__(self, *_: object) -> None:
            """Never called. Python looks it up before it calls ``__enter__``."""


class ClosedAtTheEnd(AsyncBlock):
    """The base of those whose block closes them at its end."""

    __slots__ = ()

    if TYPE_CHECKING:

        async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def warn_never_entered(written: str, origin: str, block: str) -> None:
    """Warn, from a finalizer, that the block of an object was never entered.

    :param written: the call that made the object.
    :param origin: ``file:line`` of that call.
    :param block: ``async with``, or ``with``.
    """
    file, _, line = origin.rpartition(":")
    text = f"the result of {written} at {origin} was never entered, so it did nothing: write `{block} {written}`"
    warnings.warn_explicit(text, RuntimeWarning, file, int(line))
