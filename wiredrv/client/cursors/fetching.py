"""The part of a cursor that sends its commands: the first one when a document is requested, then getMores.

Find-getMore-killCursors specification; sessions specification, "Sessions and Cursors".

Rules kept here:

* Nothing is sent before the first document is requested, and nothing is sent twice.
* All getMores use the session of the first command, also when it came from ``bind()``.
* An implicit server session (the lease) is released exactly once: by the executor when the server's cursor is
  exhausted, else by ``closing``.
* A cursor is read within the transaction that it was opened in, and nowhere else (``session.cursors``).
* One task at a time may fetch. An interrupted fetch closes the cursor, here and on the server; a command that was
  refused before it was sent does not change it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from wiredrv import waits
from wiredrv.client.cursors.closing import ClosableCursor
from wiredrv.client.cursors.prefetch import PREFETCH_BATCH_SIZE, Ahead, may_read_ahead
from wiredrv.client.limits import CursorKind, cursor_limit, with_limit
from wiredrv.errors import InvalidOperation, OperationFailure
from wiredrv.execution.timeout import in_force_now
from wiredrv.operations.base import ENCODED_IF_UNREADABLE, Operation, Target
from wiredrv.operations.cursors import CursorReply, GetMore
from wiredrv.server_facts import CURSOR_GONE_CODES
from wiredrv.session.state import SessionState
from wiredrv.types import TimeLimit
from wiredrv.wire.batch import Batch

if TYPE_CHECKING:
    from wiredrv.client.handle import HandleContext
    from wiredrv.client.sessions.client_session import ClientSession

#: The size in bytes from which the batch of a reply stays encoded. Below it, decoding all of it at once is as fast.
ENCODED_FROM = 64 * 1024


class FetchingCursor(ClosableCursor):
    """The part of a cursor that opens it, and fetches its batches."""

    __slots__ = (
        "_batch_size",
        "_comment",
        "_endless",
        "_exhaust",
        "_fetching",
        "_max_await_time_ms",
        "_per_call",
        "_prefetch",
        "_retrieved",
        "_session",
        "_timeout_mode",
    )

    _get_more_class: ClassVar[type[GetMore]] = GetMore

    def __init__(self, context: HandleContext, target: Target, session: ClientSession | None) -> None:
        super().__init__(context, target)
        self._session = session
        self._batch_size: int | None = None
        self._max_await_time_ms: int | None = None
        self._comment: object = None
        self._timeout_mode: object = None
        self._prefetch = False
        #: Whether the server is to stream its batches.
        self._exhaust = False
        self._reset()

    def _reset(self) -> None:
        self._set_unopened()
        self._clear()
        self._retrieved = 0
        self._endless = False
        self._fetching = False
        #: Whether the time limit counts anew for each call that returns documents.
        self._per_call = False

    # --- overridden by the kinds of cursors ---

    def _first_operation(self, encoded_from: int) -> Operation[CursorReply]:
        raise NotImplementedError

    def _session_state(self) -> SessionState | None:
        return self._context.session_state(self._session)

    def _next_batch_size(self) -> int | None:
        return self._wanted_batch_size

    @property
    def _wanted_batch_size(self) -> int | None:
        """The batch size that was given, or the one that reading ahead needs."""
        if self._batch_size is None and self._prefetch and self._state is None and not self._is_tailable:
            return PREFETCH_BATCH_SIZE
        return self._batch_size

    def _next_max_time_ms(self) -> int | None:
        return self._max_await_time_ms

    def _is_satisfied(self) -> bool:
        """Whether no more documents are needed although the server may have some."""
        return False

    def _excuses(self, error: OperationFailure) -> bool:
        """Whether a failure only means that there are no documents, or no more.

        As in PyMongo, for tailable cursors: their reader checks ``alive``, and opens another one when it is false.
        """
        return self._started and self._is_tailable and error.code in CURSOR_GONE_CODES

    @property
    def _is_tailable(self) -> bool:
        return False

    @property
    def _awaits_data(self) -> bool:
        return False

    def _kind(self, opening: Operation[CursorReply]) -> CursorKind:
        """What matters about the cursor to its time limit."""
        return CursorKind(self._is_tailable, self._awaits_data, opening.traits.has_write_stage)

    # --- the documents, for ``base`` ---

    def _buffer(self, batch: list[Any] | Batch) -> None:
        """Take the documents of a reply."""
        raise NotImplementedError

    def _clear(self) -> None:
        """Drop the buffered documents."""
        self._batch, self._rest = [], None
        self._position = 0

    # --- sending commands ---

    def _encoded_from(self, whole: bool) -> int:
        """The size in bytes from which a reply's batch stays encoded, unless all of its documents are wanted now."""
        if not self._target.plain:
            return 0
        return ENCODED_IF_UNREADABLE if whole else ENCODED_FROM

    async def _fetch(self, whole: bool = False, limit: TimeLimit | None = None) -> None:
        """Send the first command or a getMore, and take its batch.

        :param whole: whether all of its documents are wanted now.
        :param limit: the time limit of a getMore.
        """
        if self._fetching:
            raise InvalidOperation(
                "a cursor is used by one task at a time, and another task waits for its next batch: "
                "give each task a cursor of its own (clone() makes one), or let them take turns"
            )
        self._fetching = True
        try:
            if self._started:
                reply = await self._next_reply(whole, limit)
            else:
                self._state = self._session_state()
                operation = self._opening(self._encoded_from(whole))
                reply = await self._context.executor.execute(operation, self._state)
        except BaseException as error:
            excused = isinstance(error, OperationFailure) and self._excuses(error)
            await self._interrupted(error)
            if not excused:
                raise
            self._clear()
            self._unpin()
            return
        finally:
            self._fetching = False
        self._take(reply)
        if self._id and self._is_satisfied():
            await self._end()
        elif self._prefetch and self._id:
            self._read_ahead()

    async def _next_reply(self, whole: bool, limit: TimeLimit | None) -> CursorReply:
        ahead = self._ahead
        if ahead is not None:
            await ahead.wait(in_force_now(limit))
            if ahead.reply is None and ahead.error is None and ahead.began:
                raise ahead.lost()
            self._ahead = None
            if ahead.error is not None:
                raise ahead.error
            if ahead.reply is not None:
                return ahead.reply
        return await self._context.executor.execute(self._get_more(whole, limit), self._state)

    def _read_ahead(self) -> None:
        """Start to fetch the next batch, if this cursor and the present load allow it."""
        executor, lease = self._context.executor, self._lease
        assert self._address is not None
        if not may_read_ahead(
            in_session=self._state is not None,
            tailable=self._is_tailable,
            endless=self._endless,
            pinned=self._exhaust or self._pin is not None,
            contended=executor.has_waiters(self._address),
        ):
            return
        settled = None
        if lease is not None:
            # The session may be released meanwhile; it is not reused before the getMore is over.
            lease.settling += 1
            settled = partial(executor.session_settled, lease)
        ahead = Ahead(self._get_more(False, self._started_limit()), executor.execute, settled)
        if self._context.read_ahead(ahead):
            self._ahead = ahead
        else:
            ahead.finished()

    def _opening(self, encoded_from: int) -> Operation[CursorReply]:
        """The first command, which starts the cursor's time limit."""
        operation = self._first_operation(encoded_from)
        limit = in_force_now(operation.target.limit)
        if limit is None and self._timeout_mode is None:
            return operation
        kind = self._kind(operation)
        self._time_limit, self._per_call = cursor_limit(limit, self._timeout_mode, kind, self._next_max_time_ms())
        if self._time_limit is None:
            return operation
        return with_limit(operation, self._time_limit)

    def _started_limit(self) -> TimeLimit | None:
        """The limit of a call that needs a getMore: what is left of the cursor's, or the whole of it again."""
        if self._time_limit is None or not self._per_call or not self._started:
            return self._time_limit
        return self._time_limit.restarted(waits.monotonic())

    def _get_more(self, whole: bool, limit: TimeLimit | None) -> GetMore:
        assert self._address is not None
        return self._get_more_class(
            self._target if limit is None else replace(self._target, limit=replace(limit, of_call=False)),
            self._id,
            self._namespace.partition(".")[2],
            self._address,
            self._lease,
            self._next_batch_size(),
            self._next_max_time_ms(),
            self._comment,
            self._pin,
            self._opened_in,
            self._encoded_from(whole),
            # Behind a load balancer, the connection of a cursor is pinned for other reasons.
            self._exhaust and (self._pin is None or self._pin.for_stream),
        )

    def _take(self, reply: CursorReply) -> None:
        if not self._started:
            self._started = True
            self._address = reply.address
            self._lease = reply.lease
            self._pin = reply.pin
            self._opened_in = reply.opened_in
            self._endless = reply.is_change_stream
        elif reply.pin is not None:
            self._pin = reply.pin  # the server began to stream
        elif self._pin is not None and self._pin.for_stream and not reply.streams:
            self._unpin()  # the next getMore is sent
        self._id = reply.id
        self._namespace = reply.namespace or self._namespace
        self._retrieved += len(reply.batch)
        self._buffer(reply.batch)
        if not reply.id:
            # The executor released the lease when it saw the 0.
            self._lease = None
            self._ended = True
            self._unpin()
