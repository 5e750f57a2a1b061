"""``client.snapshot()``: one moment of a deployment, for any number of sessions, tasks and processes.

Rules kept here:

* Its time is one that a majority of the members has: no failover takes it back, and each member can read it. A router
  names the latest time that it knows; its shards wait until a majority has it.
* A time that comes from outside (a token, ``at=``) is confirmed by the deployment's own servers first, which are asked
  at most twice. What none of them has reached is refused: it neither blocks a read nor is it sent to a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from bson.timestamp import Timestamp

from wiredrv.client import validation as check
from wiredrv.client.limits import limited
from wiredrv.client.misuse import AsyncBlock
from wiredrv.client.snapshots.projection import shape_of
from wiredrv.client.snapshots.reader import Source
from wiredrv.client.snapshots.scan import Scan
from wiredrv.compat.objects import of_kind
from wiredrv.concerns import ReadPreference
from wiredrv.description import ServerType
from wiredrv.errors import ConfigurationError, InvalidOperation, InvalidToken
from wiredrv.operations.confirmation import AskShards
from wiredrv.operations.snapshot_time import SnapshotTime, Times
from wiredrv.session.tokens import (
    TokenKeys,
    deployment_label,
    read_snapshot_token,
    same_deployment,
    write_snapshot_token,
)
from wiredrv.types import Document, DocumentT

if TYPE_CHECKING:
    from wiredrv.client.client import Client
    from wiredrv.client.collection import Collection
    from wiredrv.client.sessions.blocks import SessionBinding
    from wiredrv.client.sessions.client_session import ClientSession

#: More readers than anybody's servers have cores for.
_MOST_READERS = 256


class Snapshot(AsyncBlock):
    """One moment of a deployment. Made by :meth:`Client.snapshot`.

    ::

        async with client.snapshot() as snap:
            async with snap.start_session() as session:
                await client.shop.orders.find_one({}, session=session)
            async for batch in snap.scan(client.shop.orders, readers=8):
                ...

    All that is read with it is of :attr:`time`. It holds nothing on the servers: they keep the history of the last 300
    seconds, or as long as their parameter ``minSnapshotHistoryWindowInSeconds`` says. Entered once.

    Snapshot-sessions specification; tokens and scans are this driver's own. Server 5.0 or later, not a standalone.
    """

    _written = "client.snapshot()"

    def __init__(
        self,
        client: Client[Any],
        token: str | None,
        at: Timestamp | None,
        token_keys: TokenKeys | None,
        read_preference: ReadPreference | None,
        timeout_ms: int | None,
    ) -> None:
        """Made by the method that returns it.

        :param client: whose deployment it is of.
        :param token: that of another snapshot, for the same time.
        :param at: its time.
        :param token_keys: accept only a token that is signed with one of these.
        :param read_preference: which member is asked for the time; None takes the client's.
        :param timeout_ms: milliseconds that this may take; None takes the client's ``timeoutMS``.
        :raises ConfigurationError: an argument is of the wrong kind, or contradicts another.
            :raises InvalidToken: the token cannot be read.
        """
        if token is not None and at is not None:
            raise ConfigurationError("token and at are two ways to name the snapshot's time: give one of them")
        if at is not None and not isinstance(at, Timestamp):
            raise ConfigurationError(f"at must be a bson Timestamp, as a snapshot's time is, not {at!r}")
        if token is not None and not isinstance(token, str):
            raise ConfigurationError(f"a token is a text, not {type(token).__name__}")
        if token_keys is not None and not isinstance(token_keys, TokenKeys):
            check.refuse("token_keys", "wiredrv.TokenKeys(...)", token_keys)
        self._client = client
        self._core = client._core
        self._token = None if token is None else read_snapshot_token(token, token_keys)
        self._asked = at if self._token is None else self._token.time
        target = limited(client._target, timeout_ms)
        if read_preference is not None:
            wanted = of_kind("read_preference", read_preference, ReadPreference)
            target = replace(target, read_preference=wanted)
        self._target = target
        self._time: Timestamp | None = None
        self._text = ""
        self._scans: WeakSet[Scan[Any]] = WeakSet()
        self._used = False
        self._left = False

    # --- the block ---

    async def __aenter__(self) -> Self:
        if self._used:
            raise InvalidOperation("client.snapshot() is entered only once: call it again, with its token for its time")
        self._used = True
        times = await self._ask(self._target.read_preference)
        token = self._token
        own = deployment_label(self._core.topology.description)
        if token is not None and not same_deployment(token.deployment, own):
            raise InvalidToken("this token is of another deployment", "foreign")
        asked = self._asked
        if asked is None:
            self._enter(times.committed, own)
            return self
        if asked > times.latest:
            times = await self._ask_again(times)
        if asked > times.latest:
            raise _unconfirmed(asked, times, token is not None)
        self._enter(asked, own)
        return self

    def _enter(self, time: Timestamp, deployment: bytes) -> None:
        self._time = time
        self._text = write_snapshot_token(time, deployment)

    async def _ask_again(self, times: Times) -> Times:
        """Ask those who know best: the primary; or a router, which asks its shards before."""
        servers = self._core.topology.description.servers.values()
        if any(server.server_type in (ServerType.MONGOS, ServerType.LOAD_BALANCER) for server in servers):
            await self._core.executor.execute(AskShards(self._target))
        elif self._target.read_preference == ReadPreference.PRIMARY:
            return times
        return await self._ask(ReadPreference.PRIMARY)

    async def _ask(self, preference: ReadPreference) -> Times:
        target = replace(self._target, read_preference=preference)
        return await self._core.executor.execute(SnapshotTime(target))

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left = True
        scans = list(self._scans)
        for scan in scans:
            scan._begin_to_close()
        for scan in scans:
            await scan.close()

    # --- what it is ---

    @property
    def time(self) -> Timestamp:
        """The time that is read: the ``atClusterTime`` of all reads.

        :raises InvalidOperation: it was not entered.
        """
        if self._time is None:
            raise InvalidOperation("a snapshot has its time once it is entered: write `async with client.snapshot()`")
        return self._time

    @property
    def token(self) -> str:
        """The time as a short, URL-safe text, with which ``client.snapshot(token)`` reads the same in other processes.

        It names the deployment, and is not signed: ``TokenKeys.sign`` does that, for a token that leaves the hands of
        programs that trust each other.

        :raises InvalidOperation: it was not entered.
        """
        _ = self.time
        return self._text

    # --- reading ---

    def start_session(self, *, default_timeout_ms: int | None = None) -> ClientSession:
        """Start a session that reads the snapshot. Nothing is sent.

        Operations of one session take turns: tasks that read at the same time have a session each.

        :param default_timeout_ms: milliseconds for the session's end; 0 sets no limit, None takes the client's
            ``timeoutMS``.
        :returns: the session, for ``async with``.
        :raises InvalidOperation: the snapshot was not entered, or its block was left.
        """
        return self._session(default_timeout_ms)

    def bind(self, *, inherit: bool = False) -> SessionBinding:
        """Read the snapshot with every operation of the block that is given no session.

        ::

            async with client.snapshot() as snap, snap.bind():
                orders = await client.shop.orders.find().to_list()
                stock = await client.shop.stock.find().to_list()

        A new session is bound, as by :meth:`ClientSession.bind`, and ends with the block. Writes are refused by the
        server.

        :param inherit: whether tasks that are started in the block may read with it, in turns, until it is left.
        :returns: the binding, for ``async with``, which gives the session.
        :raises InvalidOperation: the snapshot was not entered, or its block was left.
        """
        return self._session().bind(inherit=inherit)

    def _session(self, default_timeout_ms: int | None = None) -> ClientSession:
        time = self._readable_time()
        return self._client.start_session(snapshot=True, snapshot_time=time, default_timeout_ms=default_timeout_ms)

    def _readable_time(self) -> Timestamp:
        if self._left:
            raise InvalidOperation("the block of this snapshot was left: client.snapshot(token) reads its time again")
        return self.time

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

            async for batch in snap.scan(client.shop.orders, readers=8, read_preference=ReadPreference.NEAREST):
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
        :returns: the scan, for ``async for``, which gives lists of documents.
        :raises ConfigurationError: an argument is of the wrong kind.
        :raises InvalidOperation: the snapshot was not entered, or its block was left; or the collection is of another
            client.
        """
        if not hasattr(collection, "_target") or getattr(collection, "_context", None) is not self._core:
            raise InvalidOperation(f"snap.scan() takes a collection of the snapshot's own client, not {collection!r}")
        self._readable_time()
        size = None if batch_size is None else check.whole_number("batch_size", batch_size)
        shape = shape_of(projection)
        source = Source(
            collection.with_options(read_preference=read_preference, timeout_ms=timeout_ms),
            {} if filter is None else check.document("filter", filter),
            shape.projection,
            shape.hides_id,
            {} if comment is None else {"comment": comment},
            size or None,
            self._session,
        )
        given = None if projection is None else check.projection_document("projection", projection)
        scan = Scan[DocumentT](self._core, source, self._readers(readers), check.boolean("ordered", ordered), given)
        self._scans.add(scan)
        return scan

    def _readers(self, wanted: int) -> int:
        """How many readers a scan has at most."""
        if check.whole_number("readers", wanted) not in range(1, _MOST_READERS + 1):
            raise ConfigurationError(f"readers must be from 1 to {_MOST_READERS}, not {wanted}")
        settings = self._core.settings
        if settings.topology.load_balanced and settings.pool.max_pool_size:
            # Each cursor keeps a connection: some must be left for what the program does with the documents.
            return min(wanted, max(settings.pool.max_pool_size // 2, 1))
        return wanted

    def __repr__(self) -> str:
        state = "not entered" if self._time is None else f"time {self._time.time}, {self._time.inc}"
        return f"<Snapshot, {state}>"


def _unconfirmed(asked: Timestamp, times: Times, is_token: bool) -> InvalidToken | InvalidOperation:
    """The error for a time that the deployment has not reached."""
    what = "the time of this token" if is_token else "at"
    message = (
        f"{what} is {asked.time}, {asked.inc}, and this deployment's latest time is {times.latest.time}, "
        f"{times.latest.inc}: it is forged, or of another deployment"
    )
    return InvalidToken(message, "unconfirmed") if is_token else InvalidOperation(message)
