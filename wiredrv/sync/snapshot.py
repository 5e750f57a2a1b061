"""``client.snapshot()``: one moment of a deployment, for any number of sessions, threads and processes.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.snapshots.snapshot``: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bson.timestamp import Timestamp

from wiredrv.concerns import ReadPreference
from wiredrv.sync.base import Synchronous, wrapped
from wiredrv.sync.client_session import ClientSession
from wiredrv.sync.scan import Scan
from wiredrv.types import Document, DocumentT

if TYPE_CHECKING:
    from wiredrv.client.snapshots.snapshot import Snapshot as AsyncSnapshot
    from wiredrv.sync.blocks import SessionBinding
    from wiredrv.sync.collection import Collection


class Snapshot(Synchronous):
    """One moment of a deployment. Made by :meth:`Client.snapshot`.

    ::

        with client.snapshot() as snap:
            with snap.start_session() as session:
                client.shop.orders.find_one({}, session=session)
            for batch in snap.scan(client.shop.orders, readers=8):
                ...

    All that is read with it is of :attr:`time`. It holds nothing on the servers: they keep the history of the last 300
    seconds, or as long as their parameter ``minSnapshotHistoryWindowInSeconds`` says. Entered once.

    Snapshot-sessions specification; tokens and scans are this driver's own. Server 5.0 or later, not a standalone.
    """

    __slots__ = ()

    _inner: AsyncSnapshot

    def __enter__(self) -> Self:
        self._threads.run(self._inner.__aenter__())
        return self

    def bind(self, *, inherit: bool = False) -> SessionBinding:
        """Read the snapshot with every operation of the block that is given no session.

        ::

            with client.snapshot() as snap, snap.bind():
                orders = client.shop.orders.find().to_list()
                stock = client.shop.stock.find().to_list()

        A new session is bound, as by :meth:`ClientSession.bind`, and ends with the block. Writes are refused by the
        server.

        :param inherit: whether threads that get a copy of the context may read with it, in turns, until it is left.
        :returns: the binding, for ``with``, which gives the session.
        :raises InvalidOperation: the snapshot was not entered, or its block was left.
        """
        return self.start_session().bind(inherit=inherit)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))

    @property
    def time(self) -> Timestamp:
        """The time that is read: the ``atClusterTime`` of all reads.

        :raises InvalidOperation: it was not entered.
        """
        return self._inner.time

    @property
    def token(self) -> str:
        """The time as a short, URL-safe text, with which ``client.snapshot(token)`` reads the same in other processes.

        It names the deployment, and is not signed: ``TokenKeys.sign`` does that, for a token that leaves the hands of
        programs that trust each other.

        :raises InvalidOperation: it was not entered.
        """
        return self._inner.token

    def start_session(self, *, default_timeout_ms: int | None = None) -> ClientSession:
        """Start a session that reads the snapshot. Nothing is sent.

        Operations of one session take turns: threads that read at the same time have a session each.

        :param default_timeout_ms: milliseconds for the session's end; 0 sets no limit, None takes the client's
            ``timeoutMS``.
        :returns: the session, for ``with``.
        :raises InvalidOperation: the snapshot was not entered, or its block was left.
        """
        return ClientSession(
            self._threads.call(self._inner.start_session, default_timeout_ms=default_timeout_ms), self._owner
        )

    def scan(
        self,
        collection: Collection[DocumentT],
        filter: Document | None = None,
        projection: Document | Sequence[str] | None = None,
        *,
        readers: int = 4,
        ordered: bool = False,
        batch_size: int | None = None,
        read_preference: ReadPreference | None = None,
        comment: object = None,
        timeout_ms: int | None = None,
    ) -> Scan[DocumentT]:
        """Read a whole collection with several readers. Nothing is sent before the first batch is requested.

        ::

            for batch in snap.scan(client.shop.orders, readers=8, read_preference=ReadPreference.NEAREST):
                for order in batch:
                    ...

        The collection is split into ranges of its index on ``_id``, by a sample of its ids, and each reader reads one
        range after the other, wherever the read preference leads it: ``NEAREST`` and ``SECONDARY_PREFERRED`` use
        several members. After a failover a range is continued where it was, at another member and the same time: each
        document is given once. What is read ahead is bounded by two batches for each reader.

        A view and a time series collection have no such index, and are read by one reader, which is not continued once
        it has begun; a clustered collection by one reader too. Servers read no capped collection at a snapshot.

        :param collection: the collection, of this client. Its codec options and time limit are used.
        :param filter: which documents; None for all. It is applied while the ranges are read: an index on other fields
            is not used.
        :param projection: which fields, as of ``find``. The ``_id`` may be left out, but not computed.
        :param readers: how many readers at most, each with a session, and a connection while it waits for a server.
        :param ordered: whether the documents are given in the order of ``_id``, as its index has it. Readers read
            ahead less then.
        :param batch_size: how many documents the server sends at a time; None chooses batches of about 1 MB.
        :param read_preference: which members are read; None takes the collection's.
        :param comment: any value that BSON can carry, shown in the server's logs and profiler.
        :param timeout_ms: milliseconds for each command; 0 sets no limit, None takes the collection's.
        :returns: the scan, for ``for``, which gives lists of documents.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises InvalidOperation: the snapshot was not entered, or its block was left; or the collection is of another
            client.
        """
        return Scan(
            self._threads.call(
                self._inner.scan,
                wrapped(collection),
                filter,
                projection,
                readers=readers,
                ordered=ordered,
                batch_size=batch_size,
                read_preference=read_preference,
                comment=comment,
                timeout_ms=timeout_ms,
            ),
            self,
        )
