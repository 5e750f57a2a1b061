"""Cursors of commands other than find: one object that works with and without ``await``.

``cursor = await collection.aggregate(...)`` sends the command immediately; ``async for document in
collection.aggregate(...)`` sends it with the first document. Either way it is sent once.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, Self

from wiredrv.client.cursors.base import CursorBase
from wiredrv.client.limits import TimeoutMode
from wiredrv.client.validation import whole_number
from wiredrv.errors import OperationFailure
from wiredrv.operations.aggregate import Aggregate
from wiredrv.operations.base import Operation
from wiredrv.operations.cursors import CursorReply
from wiredrv.server_facts import ErrorCode
from wiredrv.types import DocumentT_co

if TYPE_CHECKING:
    from wiredrv.client.handle import HandleContext
    from wiredrv.client.sessions.client_session import ClientSession


class CommandCursor(CursorBase[DocumentT_co]):
    """The documents that a command answers with. Specifications: find_getmore_killcursors_commands, run-command."""

    __slots__ = ("_awaiting", "_excused", "_must_run", "_operation", "_tailable")

    def __init__(
        self,
        context: HandleContext,
        operation: Operation[CursorReply],
        session: ClientSession | None,
        *,
        batch_size: int | None = None,
        comment: object = None,
        max_await_time_ms: int | None = None,
        tailable: bool = False,
        excused: bool = False,
        must_run: str | None = None,
        timeout_mode: TimeoutMode | None = None,
        awaits_data: bool = False,
        prefetch: bool = False,
    ) -> None:
        """Created by the methods that return it.

        :param context: how the client's handles work.
        :param operation: the command that opens the cursor.
        :param session: the session of the command and of its getMores.
        :param batch_size: documents per getMore; None leaves it to the server.
        :param comment: sent with every getMore.
        :param max_await_time_ms: milliseconds that a getMore waits for more; only for a tailable, awaiting cursor.
        :param tailable: whether an empty batch does not mean the end.
        :param excused: whether a missing namespace counts as an empty result.
        :param must_run: what to say if the cursor is dropped without its command having been sent.
        :param timeout_mode: what its time limit limits.
        :param awaits_data: whether the server waits for documents when a tailable cursor has none.
        :param prefetch: whether the next batch is fetched while the one before is read.
        """
        self._must_run = must_run
        self._operation = operation
        self._tailable = tailable
        self._awaiting = awaits_data
        self._excused = excused
        super().__init__(context, operation.target, session)
        self._batch_size = batch_size
        self._comment = comment
        self._max_await_time_ms = max_await_time_ms
        self._timeout_mode = timeout_mode
        self._prefetch = prefetch

    def _first_operation(self, encoded_from: int) -> Operation[CursorReply]:
        operation = self._operation
        if not isinstance(operation, Aggregate):
            return operation
        first = self._wanted_batch_size if operation.batch_size is None else operation.batch_size
        return replace(operation, encoded_from=encoded_from, batch_size=first)

    def _excuses(self, error: OperationFailure) -> bool:
        nothing = self._excused and not self._started and error.code == ErrorCode.NamespaceNotFound
        return nothing or super()._excuses(error)

    @property
    def _is_tailable(self) -> bool:
        return self._tailable

    @property
    def _awaits_data(self) -> bool:
        return self._awaiting

    def batch_size(self, batch_size: int) -> Self:
        """Request this many documents with each getMore from now on; 0 leaves it to the server.

        :param batch_size: how many documents.
        :returns: this cursor.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        self._batch_size = whole_number("batch_size", batch_size)
        return self

    def __copy__(self) -> NoReturn:
        raise TypeError("the cursor of a command cannot be copied: call the method that returned it again")

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__copy__()

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._opened().__await__()

    async def _opened(self) -> Self:
        if not self._started:
            # If the command failed, the caller got the error: sending it was not forgotten.
            self._must_run = None
            await self._fetch()
        return self

    def __del__(self) -> None:
        if getattr(self, "_must_run", None) and not self._started:
            warnings.warn(f"{self._must_run} was neither awaited nor iterated: nothing was sent", RuntimeWarning, 1)
        super().__del__()

    def __repr__(self) -> str:
        state = "not sent yet" if not self._started else "open" if self._id else "ended"
        return f"{type(self).__name__}({self._operation.name} on {self._target.namespace.rstrip('.')}, {state})"
