"""A change stream: the events of a collection, a database or a deployment, resumed where it is interrupted.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.change_streams.stream``: do not edit.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self

from wiredrv.sync.base import Synchronous
from wiredrv.types import Document, DocumentT_co

if TYPE_CHECKING:
    from wiredrv.client.change_streams.stream import ChangeStream as AsyncChangeStream
    from wiredrv.sync.client_session import ClientSession


class ChangeStream(Synchronous, Generic[DocumentT_co]):
    """Events, in the order in which the changes were made. Made by the ``watch()`` of a client, database or collection.

    ::

        with orders.watch([{"$match": {"operationType": "insert"}}]) as stream:
            for event in stream:
                print(event["fullDocument"])

    It is open from the beginning, and reports what is changed from then on. It ends by itself after an event of the
    type ``invalidate``, when the collection or database is dropped or renamed.

    After a broken connection, a failover, or another resumable error, the stream is resumed by itself, once for each
    failure: no event is lost, and none is given twice. If it cannot be resumed, the error is raised. After an error of
    the network, a time limit or a cancellation the stream is still alive, and the next call tries to resume it. After
    any other error of the server it is closed; ``watch(resume_after=stream.resume_token)`` opens one that continues
    there.

    To store the resume token, read :attr:`resume_token` after each event, and after each None of :meth:`try_next`: it
    advances while nothing happens too, which keeps it from becoming too old for the server's oplog.

    Change-streams specification. Replica sets and sharded clusters have change streams; a standalone refuses them.
    """

    __slots__ = ()

    _inner: AsyncChangeStream[DocumentT_co]

    def __enter__(self) -> Self:
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> DocumentT_co:
        try:
            return self._threads.run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def next(self) -> DocumentT_co:
        """The next event; waits until there is one.

        :returns: the event.
        :raises StopIteration: the stream is closed, or has ended with an ``invalidate`` event.
        :raises OperationFailure: the server refused to open the stream, or failed in a way that is not resumable.
        :raises ConnectionFailure: the connection broke, and the stream could not be resumed. The next call tries again.
        :raises InvalidOperation: an event has no resume token; another thread waits for an event; a transaction is in
            progress in the session; or the client is closed.
        """
        try:
            return self._threads.run(self._inner.next())
        except StopAsyncIteration:
            raise StopIteration from None

    def try_next(self) -> DocumentT_co | None:
        """The next event, or None if there is none after at most one getMore. ``alive`` says whether more may come.

        The getMore waits for an event for as long as ``max_await_time_ms`` says, a second by default. After a None,
        :attr:`resume_token` may have advanced.

        :returns: the event, or None.
        :raises OperationFailure: the server refused to open the stream, or failed in a way that is not resumable.
        :raises ConnectionFailure: the connection broke, and the stream could not be resumed. The next call tries again.
        :raises InvalidOperation: an event has no resume token; another thread waits for an event; a transaction is in
            progress in the session; or the client is closed.
        """
        return self._threads.run(self._inner.try_next())

    def close(self, timeout_ms: int | None = None) -> None:
        """Close the stream, here and on the server. Events that were not given yet are dropped.

        It may be called twice, and by another thread than the one that waits for an event: that wait ends then. Server
        errors are not raised.

        :param timeout_ms: milliseconds that this may take; 0 sets no limit. None takes the whole time limit of the
            stream, even if a call has used it up.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        self._threads.run(self._inner.close(timeout_ms))

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))

    @property
    def resume_token(self) -> Document | None:
        """The token with which ``watch(resume_after=...)`` continues after the event that was given last.

        It advances with each event, and with each getMore that finds none. None before the first reply of the server,
        if the stream was given no token.
        """
        return self._inner.resume_token

    @property
    def alive(self) -> bool:
        """Whether events may still come: the stream was not closed, and has not ended."""
        return self._inner.alive

    @property
    def session(self) -> ClientSession | None:
        """The session that was passed to ``watch()``."""
        return self._owner._session_of(self._inner.session)
