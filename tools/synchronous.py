"""``python -m tools.synchronous``: writes the modules of ``wiredrv.sync`` from the asynchronous classes.

For each module in :data:`MODULES` it writes one of the same name in ``wiredrv/sync``: the same classes, signatures and
docstrings, with ``def`` for ``async def`` and ``for`` for ``async for``, whose methods drive those of the asynchronous
object (``wiredrv/sync/base.py``). A test compares the files with what this program writes.

``python -m tools.synchronous --check`` writes nothing, and fails if a file is out of date.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "wiredrv"

#: Where the asynchronous classes are, and what the synchronous module is called.
MODULES: dict[str, str] = {
    "client.handle": "handle",
    "client.watchable": "watchable",
    "client.client_deployment": "client_deployment",
    "client.client_writes": "client_writes",
    "client.client": "client",
    "client.database_commands": "database_commands",
    "client.database_helpers": "database_helpers",
    "client.database": "database",
    "client.collection_base": "collection_base",
    "client.collection_reads": "collection_reads",
    "client.collection_writes": "collection_writes",
    "client.collection_indexes": "collection_indexes",
    "client.collection_search": "collection_search",
    "client.collection": "collection",
    "client.cursors.base": "cursor_base",
    "client.cursors.cursor": "cursor",
    "client.cursors.command_cursor": "command_cursor",
    "client.cursors.raw": "raw",
    "client.change_streams.stream": "change_stream",
    "client.sessions.blocks": "blocks",
    "client.sessions.client_transaction": "client_transaction",
    "client.sessions.client_session": "client_session",
    "gridfs.bucket": "bucket",
    "gridfs.cursor": "grid_cursor",
    "gridfs.download": "download",
    "gridfs.upload": "upload",
}
#: The classes that are written. Their bases among these stay; others become ``Synchronous``.
CLASSES: dict[str, tuple[str, ...]] = {
    "handle": ("HandleOptions",),
    "watchable": ("Watchable",),
    "client_deployment": ("ClientDeployment",),
    "client_writes": ("ClientWrites",),
    "client": ("Client",),
    "database_commands": ("DatabaseCommands",),
    "database_helpers": ("DatabaseHelpers",),
    "database": ("Database",),
    "collection_base": ("CollectionBase",),
    "collection_reads": ("CollectionReads",),
    "collection_writes": ("CollectionWrites",),
    "collection_indexes": ("CollectionIndexes",),
    "collection_search": ("CollectionSearchIndexes",),
    "collection": ("Collection",),
    "cursor_base": ("CursorBase",),
    "cursor": ("Cursor",),
    "command_cursor": ("CommandCursor",),
    "raw": ("_RawBatches", "RawBatchCursor", "RawBatchCommandCursor"),
    "change_stream": ("ChangeStream",),
    "blocks": ("TransactionContext", "SessionBinding"),
    "client_transaction": ("ClientTransaction",),
    "client_session": ("ClientSession",),
    "bucket": ("GridFSBucket",),
    "grid_cursor": ("GridOutCursor",),
    "download": ("GridOut",),
    "upload": ("GridIn",),
}
HOMES = {name: module for module, names in CLASSES.items() for name in names}

#: What is wrapped by the classes that are only a part of one.
INNER = {
    "HandleOptions": "AsyncHandleOptions[DocumentT]",
    "Watchable": "AsyncWatchable[DocumentT]",
    "ClientDeployment": "AsyncClient[DocumentT]",
    "ClientWrites": "AsyncClient[DocumentT]",
    "DatabaseCommands": "AsyncDatabase[DocumentT]",
    "DatabaseHelpers": "AsyncDatabase[DocumentT]",
    "_RawBatches": "AsyncRawBatches",
    "RawBatchCursor": "AsyncRawBatchCursor",
    "RawBatchCommandCursor": "AsyncRawBatchCommandCursor",
}
#: Methods that change what other threads use too, or ask which thread calls: they take the lock.
LOCKED = frozenset(
    {
        "advance_cluster_time",
        "advance_operation_time",
        "append_metadata",
        "bind",
        "leave",
        "on_abort",
        "on_commit",
        "on_unknown",
        "open_upload_stream",
        "open_upload_stream_with_id",
        "rewind",
        "start_session",
        "start_transaction",
        "transaction",
    }
)
#: Methods that return an object which the asynchronous face also lets one await: here it is opened at once.
OPENED = frozenset({"CommandCursor", "RawBatchCommandCursor", "ChangeStream", "OpeningGridOut"})
#: Methods that are not written, by class; those that ``EXTRAS`` has instead among them.
SKIPPED = {
    "__init__", "__del__", "__await__", "__call__", "__copy__", "__deepcopy__", "__repr__", "__eq__", "__hash__",
    "__aenter__", "aclose", "aconnect",
}  # fmt: skip
#: Where a method of a class returns an object of another one, that object's parent; ``self`` by default.
PARENTS = {
    ("Cursor", "Cursor"): "self._parent",
    ("RawBatchCursor", "RawBatchCursor"): "self._parent",
    ("Database", "Database"): "self._parent",
    ("CollectionBase", "Collection"): "self._parent",
}
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
_EXITS = frozenset({"CursorBase"})
_EXIT = """
    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.run(self._inner.__aexit__(exc_type, exc, traceback))
"""
#: What the bodies above use, besides what the asynchronous modules import.
IMPORTS: dict[str, str] = {
    "AsyncClient": "wiredrv.client.client:Client",
    "AsyncClientSession": "wiredrv.client.sessions.client_session:ClientSession",
    "AsyncDatabase": "wiredrv.client.database:Database",
    "AsyncCollection": "wiredrv.client.collection:Collection",
    "AsyncCursorBase": "wiredrv.client.cursors.base:CursorBase",
    "AsyncHandleOptions": "wiredrv.client.handle:HandleOptions",
    "AsyncWatchable": "wiredrv.client.watchable:Watchable",
    "AsyncRawBatches": "wiredrv.client.cursors.raw:_RawBatches",
    "AsyncRawBatchCursor": "wiredrv.client.cursors.raw:RawBatchCursor",
    "AsyncRawBatchCommandCursor": "wiredrv.client.cursors.raw:RawBatchCommandCursor",
    "AsyncCursor": "wiredrv.client.cursors.cursor:Cursor",
    "AsyncCommandCursor": "wiredrv.client.cursors.command_cursor:CommandCursor",
    "AsyncChangeStream": "wiredrv.client.change_streams.stream:ChangeStream",
    "AsyncTransactionContext": "wiredrv.client.sessions.blocks:TransactionContext",
    "AsyncSessionBinding": "wiredrv.client.sessions.blocks:SessionBinding",
    "AsyncClientTransaction": "wiredrv.client.sessions.client_transaction:ClientTransaction",
    "AsyncGridFSBucket": "wiredrv.gridfs.bucket:GridFSBucket",
    "AsyncGridOutCursor": "wiredrv.gridfs.cursor:GridOutCursor",
    "AsyncGridOut": "wiredrv.gridfs.download:GridOut",
    "AsyncGridIn": "wiredrv.gridfs.upload:GridIn",
    "Synchronous": "wiredrv.sync.base:Synchronous",
    "awaited": "wiredrv.sync.base:awaited",
    "callback_of": "wiredrv.sync.base:callback_of",
    "new_threads": "wiredrv.sync.base:new_threads",
    "session_of": "wiredrv.sync.base:session_of",
    "wrapped": "wiredrv.sync.base:wrapped",
    "clean_up_at_exit": "wiredrv.sync.ending:clean_up_at_exit",
    "partial": "functools:partial",
    "repair": "wiredrv.sync.repair:repair",
    "WeakValueDictionary": "weakref:WeakValueDictionary",
    "cast": "typing:cast",
    "Iterator": "collections.abc:Iterator",
    "TYPE_CHECKING": "typing:TYPE_CHECKING",
    "refuse": "wiredrv.client.validation:refuse",
    "Iterable": "collections.abc:Iterable",
    "Sequence": "collections.abc:Sequence",
    "Self": "typing:Self",
    "NoReturn": "typing:NoReturn",
    "TracebackType": "types:TracebackType",
    "Callable": "collections.abc:Callable",
    "T": "",
}

#: How long a line may be.
_WIDTH = 120

#: How the words of the docstrings change; in this order.
WORDS: Sequence[tuple[str, str]] = (
    (r", if it is new or its event loop is\n    closed\. ", ", if it is new. "),
    (r"It can be open in one event loop at a time\.", "Any number of threads may use it at a time."),
    (r"opens it again, also in another event\n    loop\.", "opens it again."),
    (r"the client is open in another event loop\.", "the client was closed meanwhile."),
    (r"Await it: t", "T"),
    (r"Await it: w", "W"),
    (r"\n\n        ``topology\.primary`` is the same without ``await``\.", ""),
    (r"\n    :param io_loop:(.|\n)*?(?=\n    :)", ""),
    (r"\n        :param coro:(.|\n)*?(?=\n        :)", ""),
    (r"for code that was written for PyMongo\. It has no effect", "it has no effect"),
    (r"``async with client\.start_session\(\)``", "``with client.start_session()``"),
    (r"wiredrv\.Client\(", "wiredrv.sync.Client("),
    (r"\basync (with|for|def)\b", r"\1"),
    (r" Nothing is sent; ``await client\.start_session\(\)`` returns the same\.", " Nothing is sent."),
    (r"\n\n    ``await client\.start_session\(\)`` works too: awaiting a session returns the session\.", ""),
    (r"; with ``await`` the command is sent immediately, else when iterated\.", ". The command is sent immediately."),
    (r" must be awaited or iterated to take effect\. It", ""),
    (r", with or without ``await``", ""),
    (r"sends nothing until a method is awaited", "sends nothing until a method is called"),
    (
        r"``with`` and ``await`` open the stream; otherwise the first call that asks for an event does\.",
        "The stream is open when this returns.",
    ),
    (
        r"``with`` and ``await`` open the stream, and it reports what is changed from then on; otherwise the first\n"
        r"    call that asks for an event opens it\.",
        "It is open from the beginning, and reports what is changed from then on.",
    ),
    (
        r"(Find a file.*, and open a stream to read it from): with ``await``, or with ``with``(, which closes it)?\.",
        r"\1. ``with`` closes it.",
    ),
    (r"the stream, once it is awaited or entered; that is also when the file is looked for\.", "the stream."),
    (r"an asynchronous function that takes the session", "a function that takes the session"),
    (
        r"a plain function without arguments; a coroutine function is refused, since it would never be\n"
        r"            awaited\.",
        "a function without arguments.",
    ),
    (r"``read\(\)``, synchronous or not; or an asynchronous iterator of bytes", "``read()``"),
    (r"``write\(\)``, synchronous or not, or a stream with ``send\(\)``", "``write()``"),
    (r"an asynchronous iterator", "an iterator"),
    (r"\bawait ", ""),
    (r"StopAsyncIteration", "StopIteration"),
    (r"exception or a cancellation", "exception"),
    (r"\bA child task that inherits\b", "A thread with a copy of the context, which inherits"),
    (r"is refused, unless ``inherit`` is True", "is refused, unless ``inherit`` is True"),
    (r"an endpoint in a child task of the middleware", "an endpoint in another thread than the middleware"),
    (r"\btasks\b", "threads"),
    (r"\btask\b", "thread"),
)


class Source(NamedTuple):
    """An asynchronous module."""

    tree: ast.Module
    imports: dict[str, str]
    module: str


def read(module: str) -> Source:
    """Read an asynchronous module: its tree, and from where it imports each name."""
    tree = ast.parse((PACKAGE / (module.replace(".", "/") + ".py")).read_text())
    imports: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for name in node.names:
                imports[name.asname or name.name] = f"{node.module}:{name.name}"
        elif isinstance(node, ast.Import):
            for name in node.names:
                imports[name.asname or name.name] = name.name
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            imports.setdefault(node.targets[0].id, f"wiredrv.{module}:{node.targets[0].id}")
        elif isinstance(node, ast.ClassDef) and node.name not in HOMES:
            imports.setdefault(node.name, f"wiredrv.{module}:{node.name}")
    return Source(tree, imports, module)


def reworded(text: str) -> str:
    """A docstring of the synchronous face."""
    for pattern, words in WORDS:
        text = re.sub(pattern, words, text)
    return "\n".join(refilled(text.split("\n")))


def refilled(lines: list[str]) -> Iterator[str]:
    """The lines of a docstring, with the end of a line that is too long moved to the next one."""
    usual = min((_indent(line) for line in lines[1:] if line.strip()), key=len, default="")
    indent, rest = "", ""
    for number, line in enumerate(lines):
        if rest and line.strip() and not line.strip().startswith((":", "*")) and _indent(line) == indent:
            line = f"{indent}{rest} {line.strip()}"
        elif rest:
            yield f"{indent}{rest}"
        rest = ""
        # The first line begins after the quotation marks.
        width = _WIDTH if number else _WIDTH - len(usual) - (3 if len(lines) > 1 else 14)
        if len(line) > width:
            end = line.rindex(" ", 0, width + 1)
            indent = (_indent(line) + ("    " if line.strip().startswith(":") else "")) if number else usual
            rest, line = line[end + 1 :], line[:end]
        yield line
    if rest:
        yield f"{indent}{rest}"


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def annotation(text: str) -> str:
    """An annotation of the synchronous face."""
    return text.replace("AsyncIterator", "Iterator").replace("OpeningGridOut", "GridOut")


class Writer:
    """Writes one module."""

    def __init__(self, source: Source, target: str) -> None:
        self.source = source
        self.target = target
        self.lines: list[str] = []

    def write(self) -> str:
        """The module's text, without imports that its names say."""
        for name in CLASSES[self.target]:
            found = next(node for node in self.source.tree.body if isinstance(node, ast.ClassDef) and node.name == name)
            self._class(found)
        body = "\n".join(self.lines)
        document = reworded(ast.get_docstring(self.source.tree, clean=False) or "").split("\n")[0]
        origin = f"Written by ``python -m tools.synchronous`` from ``wiredrv.{self.source.module}``: do not edit."
        return (
            f'"""{document}\n\n{origin}\n"""\n\nfrom __future__ import annotations\n\n{self._imports(body)}\n\n{body}\n'
        )

    # --- imports ---

    def _imports(self, body: str) -> str:
        tree = ast.parse(body)
        own = set(CLASSES[self.target])
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for node in ast.walk(tree):  # names in annotations that are strings, as of cast()
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(r"[A-Za-z_\[\]]+", text):
                names |= set(re.findall(r"[A-Za-z_]\w*", text)) & set(HOMES)
        at_run_time = {node.id for node in _run_time_names(tree)}
        lines: list[str] = []
        for_types: list[str] = []
        variables: list[str] = []
        for name in sorted(names - own):
            if name in HOMES:
                line = f"from wiredrv.sync.{HOMES[name]} import {name}"
                (lines if name in at_run_time else for_types).append(line)
                continue
            home = IMPORTS.get(name) or self.source.imports.get(name)
            if home is None:
                continue
            if name == "T":
                lines.append("from typing import TypeVar")
                variables.append('T = TypeVar("T")')
                continue
            module, _, attribute = home.partition(":")
            if not attribute:
                lines.append(f"import {module}" + ("" if module == name else f" as {name}"))
                continue
            line = f"from {module} import {attribute}" + ("" if attribute == name else f" as {name}")
            (for_types if name.startswith("Async") and name not in at_run_time else lines).append(line)
        if for_types:
            lines.append("from typing import TYPE_CHECKING")
            lines += ["", "if TYPE_CHECKING:", *(f"    {line}" for line in for_types)]
        return "\n".join([*lines, "", *variables])

    # --- classes ---

    def _class(self, node: ast.ClassDef) -> None:
        bases = []
        for base in node.bases:
            text = ast.unparse(base)
            if name_of(text) in HOMES or name_of(text) == "Generic":
                bases.append(text)
        if not any(base.partition("[")[0] in HOMES for base in bases):
            bases.insert(0, "Synchronous")
        self.lines.append(f"class {node.name}({', '.join(bases)}):")
        document = ast.get_docstring(node, clean=False)
        self.lines.append(f'    """{reworded(document or "")}"""')
        self.lines.append("")
        extra = EXTRAS.get(node.name, "")
        if "__slots__" not in extra:
            self.lines.append("    __slots__ = ()\n")
        if "with_transaction" in extra:
            method = next(m for m in node.body if isinstance(m, ast.AsyncFunctionDef) and m.name == "with_transaction")
            extra = extra.replace('"""DOC"""', f'"""{reworded(ast.get_docstring(method, clean=False) or "")}"""')
        written = set(re.findall(r"    def (\w+)", extra))
        if node.name in INNER:
            self.lines.append(f"    _inner: {INNER[node.name]}\n")
        if extra:
            self.lines.append(extra.strip("\n") + "\n")
        if "__aexit__" not in {getattr(member, "name", "") for member in node.body} | written and self._closes(
            node.name
        ):
            self.lines.append(_EXIT)
        plain = {member.name for member in node.body if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))}
        for member in node.body:
            if isinstance(member, ast.Assign) and isinstance(member.value, ast.Name) and member.value.id in plain:
                name = ast.unparse(member.targets[0])
                if not name.startswith("_") and name not in SKIPPED:
                    self.lines.append(f"    {ast.unparse(member)}\n")
            if not isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef)) or not self._is_wanted(member, written):
                continue
            if not (member.name == "__aiter__" and "__iter__" in plain):
                self._method(node.name, member)
        self.lines.append("")

    def _closes(self, name: str) -> bool:
        """Whether a class has a block that ends it, which it inherits from a class that is not written."""
        found = getattr(importlib.import_module(f"wiredrv.{self.source.module}"), name)
        bases = (getattr(base, "__name__", "") for base in found.__bases__)
        return hasattr(found, "__aexit__") and not any(base in HOMES for base in bases) and name not in _EXITS

    @staticmethod
    def _is_wanted(member: ast.FunctionDef | ast.AsyncFunctionDef, written: set[str]) -> bool:
        name = sync_name(member.name)
        if member.name in SKIPPED or name in written:
            return False
        return not name.startswith("_") or name.startswith("__")

    # --- methods ---

    def _method(self, owner: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        self.lines += [f"    @{decorator}" for decorator in decorators]
        returns = annotation(ast.unparse(node.returns)) if node.returns is not None else "None"
        name = sync_name(node.name)
        self.lines.append(f"    def {name}({annotation(ast.unparse(node.args))}) -> {returns}:")
        if "overload" in decorators:
            self.lines.append("        ...\n")
            return
        document = ast.get_docstring(node, clean=False)
        if document:
            self.lines.append(f'        """{reworded(document)}"""')
        self.lines += [f"        {line}" for line in self._body(owner, node, decorators, returns)]
        self.lines.append("")

    def _body(
        self, owner: str, node: ast.FunctionDef | ast.AsyncFunctionDef, decorators: list[str], returns: str
    ) -> Iterator[str]:
        if any(decorator.endswith(".setter") for decorator in decorators):
            argument = node.args.args[1].arg
            yield f"self._inner.{node.name} = {argument}"
            return
        if "property" in decorators:
            if isinstance(node, ast.AsyncFunctionDef):
                yield f"return self._threads.run(self._inner.{node.name})"
            else:
                yield from self._property(owner, node.name, returns)
            return
        call = f"self._inner.{node.name}"
        arguments = passed(node.args)
        waits = isinstance(node, ast.AsyncFunctionDef)
        if node.name == "__aiter__":
            yield "return self"
            return
        if node.name == "__getattr__":
            yield 'if name == "_inner":'
            yield "    raise AttributeError(name)"
        if waits:
            value = f"self._threads.run({call}({arguments}))"
        elif node.name in LOCKED:
            value = f"self._threads.call({', '.join(filter(None, (call, arguments)))})"
        else:
            value = f"{call}({arguments})"
        if not waits and node.returns is not None and name_of(ast.unparse(node.returns)) in OPENED:
            value = f"self._threads.run(awaited({value}))"
        if sync_name(node.name) in ("__next__", "next") and waits:
            yield "try:"
            yield f"    return {self._converted(owner, value, returns)}"
            yield "except StopAsyncIteration:"
            yield "    raise StopIteration from None"
        elif returns in ("None", "NoReturn"):
            yield value
        elif returns == "Self":
            yield from self._self(owner, node.name, value)
        else:
            yield f"return {self._converted(owner, value, returns)}"

    @staticmethod
    def _self(owner: str, name: str, value: str) -> Iterator[str]:
        if name in ("__getitem__", "__getattr__"):
            yield f"return type(self)({value}, self._parent)"
        else:
            yield value
            yield "return self"

    @staticmethod
    def _property(owner: str, name: str, returns: str) -> Iterator[str]:
        if name == "session":
            yield "return self._owner._session_of(self._inner.session)"
        elif (owner, name) in (("CollectionBase", "database"), ("Database", "client"), ("ClientSession", "client")):
            yield f'return cast("{returns}", self._parent)'
        else:
            yield f"return self._inner.{name}"

    @staticmethod
    def _converted(owner: str, value: str, returns: str) -> str:
        listed = re.fullmatch(r"list\[(\w+)\b(.*)\]", returns)
        if listed and listed[1] in HOMES:
            parent = PARENTS.get((owner, listed[1]), "self")
            return f"[{listed[1]}(found, {parent}) for found in {value}]"
        name = name_of(returns)
        if name not in HOMES:
            return value
        parent = PARENTS.get((owner, name), "self")
        if owner == "CollectionBase" and name == "Collection":
            return f'cast("Collection[Any]", type(self)({value}, {parent}))'
        return f"{name}({value}, {parent})"


def _run_time_names(tree: ast.Module) -> Iterator[ast.Name]:
    """The names that are used when the code runs: not those of annotations."""

    def visit(node: ast.AST) -> Iterator[ast.Name]:
        if isinstance(node, ast.Name):
            yield node
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from visit(child)

    yield from visit(tree)


def sync_name(name: str) -> str:
    """The synchronous name of a method."""
    return {"__aiter__": "__iter__", "__anext__": "__next__", "__aexit__": "__exit__"}.get(name, name)


def name_of(returns: str) -> str:
    """The class in an annotation, without what it is parametrized with."""
    return returns.partition("[")[0]


def passed(arguments: ast.arguments) -> str:
    """The arguments of a method as they are passed on."""
    parts = [given(argument) for argument in arguments.args[1:]]
    if arguments.vararg is not None:
        parts.append(f"*map(wrapped, {arguments.vararg.arg})")
    parts += [f"{argument.arg}={given(argument)}" for argument in arguments.kwonlyargs]
    if arguments.kwarg is not None:
        parts.append(f"**{arguments.kwarg.arg}")
    return ", ".join(parts)


def given(argument: ast.arg) -> str:
    """An argument as it is passed on: an object of this face as the one that it wraps."""
    kind = ast.unparse(argument.annotation) if argument.annotation is not None else ""
    if kind == "ClientSession | None":
        return f"None if {argument.arg} is None else session_of({argument.arg})"
    return f"wrapped({argument.arg})" if re.search(r"\b(Collection|Database)\[", kind) else argument.arg


def written(module: str) -> str:
    """The text of the synchronous module of an asynchronous one, formatted."""
    text = Writer(read(module), MODULES[module]).write()
    for command in (["check", "--select", "I,F401,F811", "--fix", "--quiet"], ["format", "--quiet"]):
        name = str(PACKAGE / "sync" / f"{MODULES[module]}.py")
        arguments = [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"]
        found = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False, cwd=ROOT)
        if not found.stdout:
            raise SystemExit(f"{module}: {found.stderr}\n{text}")
        text = found.stdout
    return text


def main() -> None:
    """Write the modules, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a module is out of date")
    check = parser.parse_args().check
    stale = []
    for module, name in MODULES.items():
        path = PACKAGE / "sync" / f"{name}.py"
        text = written(module)
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    if check and stale:
        raise SystemExit(f"out of date: {', '.join(stale)}; run python -m tools.synchronous")
    print(f"{len(MODULES)} modules, {len(stale)} {'out of date' if check else 'written'}")


if __name__ == "__main__":
    main()
