"""Which classes are written, where they go, and which of their methods need special care."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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
    "client.snapshots.snapshot": "snapshot",
    "client.snapshots.scan": "scan",
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
    "snapshot": ("Snapshot",),
    "scan": ("Scan",),
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
        "scan",
        "start_session",
        "start_transaction",
        "transaction",
    }
)
#: Methods that return an object which the asynchronous face also lets one await: here it is opened at once.
OPENED = frozenset({"CommandCursor", "RawBatchCommandCursor", "ChangeStream", "OpeningGridOut"})
#: Methods that are not written; ``EXTRAS`` has some of them instead.
SKIPPED = {
    "__init__", "__del__", "__await__", "__call__", "__copy__", "__deepcopy__", "__repr__", "__eq__", "__hash__",
    "__aenter__", "aclose", "aconnect",
}  # fmt: skip
#: Where a method of a class returns an object of another one, that object's parent; ``self`` by default.
PARENTS = {
    ("Snapshot", "ClientSession"): "self._owner",
    ("Cursor", "Cursor"): "self._parent",
    ("RawBatchCursor", "RawBatchCursor"): "self._parent",
    ("Database", "Database"): "self._parent",
    ("CollectionBase", "Collection"): "self._parent",
}
