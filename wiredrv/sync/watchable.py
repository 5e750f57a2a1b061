"""``watch()``, which clients, databases and collections all have. PyMongo's name and arguments.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.watchable``: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from wiredrv.client import positions
from wiredrv.client.arguments import ChangeStreamOptions, expanded
from wiredrv.sync.base import awaited, session_of, wrapped
from wiredrv.sync.change_stream import ChangeStream
from wiredrv.sync.handle import HandleOptions
from wiredrv.types import DocumentT, Pipeline

if TYPE_CHECKING:
    from wiredrv.client.watchable import Watchable as AsyncWatchable
    from wiredrv.sync.client_session import ClientSession


class Watchable(HandleOptions[DocumentT]):
    """What changes can be watched in."""

    __slots__ = ()

    _inner: AsyncWatchable[DocumentT]

    @expanded(ChangeStreamOptions, positions.WATCH)
    def watch(
        self,
        pipeline: Pipeline | None = None,
        full_document: str | None = None,
        *more: object,
        session: ClientSession | None = None,
        **options: Unpack[ChangeStreamOptions],
    ) -> ChangeStream[DocumentT]:
        """The changes of a collection, of all collections of a database, or of the whole deployment, as they are made.

        ::

            with orders.watch() as stream:
                for event in stream:
                    print(event["operationType"], event["documentKey"])

        The stream is open when this returns. It is
        resumed by itself after a failover, which an ``aggregate`` with a ``$changeStream`` stage is not.

        Change streams need a replica set or a sharded cluster, and the read concern ``majority`` or none. They cannot
        be opened in a transaction. While a stream waits for events in an explicit or bound session, other operations
        of that session wait for their turn: give the stream a session of its own, or none.

        Change-streams specification.

        :param pipeline: stages that follow the ``$changeStream`` stage and filter or change the events. They must leave
            the ``_id`` of the events in: it is their resume token. A last stage
            ``{"$changeStreamSplitLargeEvent": {}}`` splits events of more than 16 MB (server 6.0.9, or 7.0).
        :param full_document: what ``fullDocument`` holds in the events of updates: ``"updateLookup"``, the document as
            it is when the event is read; ``"whenAvailable"`` or ``"required"``, as it was after the change (server 6.0,
            for collections with ``changeStreamPreAndPostImages``). None leaves it out.
        :param session: the session of all commands of the stream; without it the bound one, or an implicit one.
        :param more: options by position, in PyMongo's order: ``resume_after``, ``max_await_time_ms``, ``batch_size``,
            ``collation``, ``start_at_operation_time``, ``session``, ``start_after``, ``comment``,
            ``full_document_before_change``, ``show_expanded_events``.
        :returns: the stream.
        :raises ConfigurationError: an argument is unknown or of the wrong kind.
        """
        return ChangeStream(
            self._threads.run(
                awaited(
                    self._inner.watch(
                        pipeline,
                        full_document,
                        *map(wrapped, more),
                        session=None if session is None else session_of(session),
                        **options,
                    )
                )
            ),
            self,
        )
