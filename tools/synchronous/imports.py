"""The imports of a synchronous module: those of the names that its body uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tools.synchronous.plan import CLASSES, HOMES
from tools.synchronous.source import Source

#: What the bodies use, besides what the asynchronous modules import.
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
    "AsyncSnapshot": "wiredrv.client.snapshots.snapshot:Snapshot",
    "AsyncScan": "wiredrv.client.snapshots.scan:Scan",
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


def import_block(source: Source, target: str, body: str) -> str:
    """The imports that the body of a module needs.

    Classes of either face that only annotations name are imported for type checkers alone, because their modules
    import each other.
    """
    tree = ast.parse(body)
    own = set(CLASSES[target])
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
        home = IMPORTS.get(name) or source.imports.get(name)
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
