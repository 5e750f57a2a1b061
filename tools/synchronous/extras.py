"""The code of the synchronous classes that is not made from the asynchronous ones: it is inserted as it is here."""

from __future__ import annotations

#: What the body of a class begins with. No method that is here is made from the asynchronous one.
EXTRAS: dict[str, str] = {
    "Client": '''
    __slots__ = ("_sessions",)

    _inner: AsyncClient[DocumentT]

    def __init__(
        self,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        document_class: type[DocumentT] | None = None,
        tz_aware: bool | None = None,
        connect: bool | None = None,
        type_registry: TypeRegistry | None = None,
        *,
        uri: str | Sequence[str] | None = None,
        event_listeners: Iterable[EventListener] = (),
        **options: Unpack[ClientOptions],
    ) -> None:
        self._threads = new_threads()
        self._inner = self._threads.call(
            lambda: AsyncClient(
                host,
                port,
                document_class,
                tz_aware,
                connect,
                type_registry,
                uri=uri,
                event_listeners=event_listeners,
                **options,
            )
        )
        self._sessions: WeakValueDictionary[int, ClientSession] = WeakValueDictionary()
        self._inner._core.block, self._inner._core.package = "with", "wiredrv.sync"
        clean_up_at_exit(self._inner._core, self._threads)
        self._threads.repair = partial(repair, self._inner._core)

    @property
    def _owner(self) -> Self:
        return self

    def _session_of(self, inner: AsyncClientSession | None) -> ClientSession | None:
        """The session of this face that wraps another."""
        if inner is None:
            return None
        found = self._sessions.get(id(inner))
        if found is None or found._inner is not inner:
            found = self._sessions[id(inner)] = ClientSession(inner, self)
        return found

    def __enter__(self) -> Self:
        self._threads.run(self._inner.__aenter__())
        return self

    def close(self) -> None:
        """End the pooled sessions on the server, close all connections, stop all threads. Server errors are not raised.

        It may be called twice. Afterwards, operations on the client or on anything created by it raise InvalidOperation
        until :meth:`open` or ``with`` opens the client again.
        """
        self._threads.run(self._inner._core.close())
''',
    "Database": """
    _inner: AsyncDatabase[DocumentT]

    if not TYPE_CHECKING:  # type checkers know without it that a database cannot be called

        def __call__(self, *arguments: object, **options: object) -> NoReturn:
            self._inner(*arguments, **options)
""",
    "CollectionBase": """
    _inner: AsyncCollection[DocumentT]

    if not TYPE_CHECKING:  # type checkers know without it that a collection cannot be called

        def __call__(self, *arguments: object, **options: object) -> NoReturn:
            self._inner(*arguments, **options)
""",
    "CursorBase": '''
    _inner: AsyncCursorBase[DocumentT_co]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))

    def close(self, timeout_ms: int | None = None) -> None:
        """Close the cursor, here and on the server. Its documents that were not read yet are dropped.

        It may be called twice. Server errors are not raised.

        :param timeout_ms: milliseconds that this may take; 0 sets no limit. None takes the whole time limit of the
            cursor, even if a call has used it up.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        self._threads.run(self._inner.close(timeout_ms))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> DocumentT_co:
        inner = self._inner
        position = inner._position
        if position < len(inner._batch):  # no other thread reads this cursor, so that this needs no lock
            inner._position = position + 1
            return inner._batch[position]
        try:
            return self._threads.run(inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def batches(self) -> Iterator[list[DocumentT_co]]:
        """The documents as lists, a list for each batch that the server sends.

        ::

            with collection.find({}, batch_size=500) as cursor:
                for documents in cursor.batches():
                    copies.insert_many(documents)

        What was read of the current batch is left out; empty batches are skipped. ``batch_size`` sets how many
        documents the server sends at a time. A tailable cursor ends the loop at the first empty batch.

        :returns: an iterator. It raises what :meth:`next` raises: at a document that cannot be decoded, after a list of
            those before it.
        """
        batches = self._inner.batches()
        while True:
            try:
                found = self._threads.run(awaited(anext(batches)))
            except StopAsyncIteration:
                return
            yield found
''',
    "Cursor": '''
    _inner: AsyncCursor[DocumentT_co]

    @property
    def collection(self) -> Collection[DocumentT_co]:
        """The collection that is queried."""
        return cast("Collection[DocumentT_co]", self._parent)

    def __copy__(self) -> Cursor[DocumentT_co]:
        return self.clone()

    def __deepcopy__(self, memo: dict[int, object]) -> Cursor[DocumentT_co]:
        return Cursor(self._inner.__deepcopy__(memo), self._parent)
''',
    "CommandCursor": """
    _inner: AsyncCommandCursor[DocumentT_co]
""",
    "_RawBatches": '''
    def __next__(self) -> bytes:
        batch: bytes = super().__next__()
        return batch

    def batches(self) -> NoReturn:
        """Not for this cursor: it gives batches already.

        :raises InvalidOperation: always.
        """
        self._inner.batches()
''',
    "ChangeStream": """
    _inner: AsyncChangeStream[DocumentT_co]

    def __enter__(self) -> Self:
        return self
""",
    "TransactionContext": """
    _inner: AsyncTransactionContext

    def __enter__(self) -> Self:
        return self
""",
    "SessionBinding": """
    _inner: AsyncSessionBinding

    def __enter__(self) -> ClientSession:
        self._threads.run(self._inner.__aenter__())
        return cast("ClientSession", self._parent)
""",
    "ClientTransaction": """
    _inner: AsyncClientTransaction

    def __enter__(self) -> ClientSession:
        session = self._owner._session_of(self._threads.run(self._inner.__aenter__()))
        assert session is not None
        return session
""",
    "ClientSession": '''
    _inner: AsyncClientSession

    def __init__(self, inner: AsyncClientSession, parent: Client[Any]) -> None:
        super().__init__(inner, parent)
        parent._sessions[id(inner)] = self

    def with_transaction(
        self,
        callback: Callable[[ClientSession], T],
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: ReadPreference | None = None,
        max_commit_time_ms: int | None = None,
        *,
        retry: RetryPolicy = DEFAULT_POLICY,
        timeout_ms: int | None = None,
    ) -> T:
        """DOC"""
        return self._threads.run(
            self._inner.with_transaction(
                callback_of(callback, self),
                read_concern,
                write_concern,
                read_preference,
                max_commit_time_ms,
                retry=retry,
                timeout_ms=timeout_ms,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __copy__(self) -> Self:
        raise TypeError("a session cannot be copied: its server session must have one owner")
''',
    "Snapshot": '''
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
''',
    "Scan": """
    _inner: AsyncScan[DocumentT_co]

    def __enter__(self) -> Self:
        return self
""",
    "GridFSBucket": """
    _inner: AsyncGridFSBucket

    def __init__(
        self,
        db: Database[Any],
        bucket_name: str = "fs",
        chunk_size_bytes: int = DEFAULT_CHUNK_SIZE,
        write_concern: WriteConcern | None = None,
        read_preference: ReadPreference | None = None,
        read_concern: ReadConcern | None = None,
        *,
        timeout_ms: int | None = None,
    ) -> None:
        if not isinstance(db, Database):
            refuse("db", "a Database of wiredrv.sync, as client['files']", db)
        options = (write_concern, read_preference, read_concern)
        inner = AsyncGridFSBucket(db._inner, bucket_name, chunk_size_bytes, *options, timeout_ms=timeout_ms)
        super().__init__(inner, db)
""",
    "GridOutCursor": """
    _inner: AsyncGridOutCursor

    def __enter__(self) -> Self:
        return self
""",
    "GridOut": '''
    _inner: AsyncGridOut

    def __enter__(self) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_inner"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def chunks(self) -> Iterator[bytes]:
        """The rest of the file, chunk by chunk: what a web framework sends as a streaming response.

        :returns: an iterator of bytes.
        :raises CorruptGridFile: the chunks are not those that the file must have.
        :raises InvalidOperation: it is closed, or another thread is reading, or its transaction has ended.
        :raises OperationFailure: the server refused.
        """
        while chunk := self.readchunk():
            yield chunk
''',
    "GridIn": """
    _inner: AsyncGridIn

    def __enter__(self) -> Self:
        return self
""",
}
#: The classes above that write the end of their block themselves.
EXITS = frozenset({"CursorBase"})
#: How a class ends its block, if it inherits that from a class that is not written.
EXIT = """
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))
"""
