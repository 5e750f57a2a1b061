"""wiredrv: a MongoDB driver focused on sessions, for asyncio and trio.

The public names are imported when they are first used (PEP 562), so that importing one subpackage loads no more than it
needs: ``import wiredrv.wire`` imports no event loop.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from wiredrv._version import __version__ as __version__

if TYPE_CHECKING:
    from wiredrv import errors as errors
    from wiredrv import events as events
    from wiredrv.client.change_streams.stream import ChangeStream as ChangeStream
    from wiredrv.client.client import Client as Client
    from wiredrv.client.collection import Collection as Collection
    from wiredrv.client.collection_search import SearchIndexModel as SearchIndexModel
    from wiredrv.client.connect import connect as connect
    from wiredrv.client.constants import ASCENDING as ASCENDING
    from wiredrv.client.constants import DESCENDING as DESCENDING
    from wiredrv.client.constants import GEO2D as GEO2D
    from wiredrv.client.constants import GEOSPHERE as GEOSPHERE
    from wiredrv.client.constants import HASHED as HASHED
    from wiredrv.client.constants import TEXT as TEXT
    from wiredrv.client.constants import CursorType as CursorType
    from wiredrv.client.constants import ReturnDocument as ReturnDocument
    from wiredrv.client.cursors.command_cursor import CommandCursor as CommandCursor
    from wiredrv.client.cursors.cursor import Cursor as Cursor
    from wiredrv.client.cursors.raw import RawBatchCommandCursor as RawBatchCommandCursor
    from wiredrv.client.cursors.raw import RawBatchCursor as RawBatchCursor
    from wiredrv.client.database import Database as Database
    from wiredrv.client.requests import DeleteMany as DeleteMany
    from wiredrv.client.requests import DeleteOne as DeleteOne
    from wiredrv.client.requests import IndexModel as IndexModel
    from wiredrv.client.requests import InsertOne as InsertOne
    from wiredrv.client.requests import ReplaceOne as ReplaceOne
    from wiredrv.client.requests import UpdateMany as UpdateMany
    from wiredrv.client.requests import UpdateOne as UpdateOne
    from wiredrv.client.sessions.blocks import unbound as unbound
    from wiredrv.client.sessions.client_session import ClientSession as ClientSession
    from wiredrv.client.sessions.with_transaction import RetryPolicy as RetryPolicy
    from wiredrv.client.snapshots.progress import ScanProgress as ScanProgress
    from wiredrv.client.snapshots.scan import Scan as Scan
    from wiredrv.client.snapshots.snapshot import Snapshot as Snapshot
    from wiredrv.collation import Collation as Collation
    from wiredrv.collation import CollationAlternate as CollationAlternate
    from wiredrv.collation import CollationCaseFirst as CollationCaseFirst
    from wiredrv.collation import CollationMaxVariable as CollationMaxVariable
    from wiredrv.collation import CollationStrength as CollationStrength
    from wiredrv.concerns import Nearest as Nearest
    from wiredrv.concerns import Primary as Primary
    from wiredrv.concerns import PrimaryPreferred as PrimaryPreferred
    from wiredrv.concerns import ReadConcern as ReadConcern
    from wiredrv.concerns import ReadPreference as ReadPreference
    from wiredrv.concerns import Secondary as Secondary
    from wiredrv.concerns import SecondaryPreferred as SecondaryPreferred
    from wiredrv.concerns import WriteConcern as WriteConcern
    from wiredrv.connection.auth.callbacks import AWSCredentials as AWSCredentials
    from wiredrv.connection.auth.callbacks import OIDCCallback as OIDCCallback
    from wiredrv.connection.auth.callbacks import OIDCCallbackContext as OIDCCallbackContext
    from wiredrv.connection.auth.callbacks import OIDCCallbackResult as OIDCCallbackResult
    from wiredrv.connection.auth.callbacks import OIDCIdPInfo as OIDCIdPInfo
    from wiredrv.connection.settings import ClientCredentials as ClientCredentials
    from wiredrv.connection.settings import DriverInfo as DriverInfo
    from wiredrv.connection.settings import ServerApi as ServerApi
    from wiredrv.errors import DriverError as DriverError
    from wiredrv.execution.timeout import timeout as timeout
    from wiredrv.gridfs.bucket import GridFSBucket as GridFSBucket
    from wiredrv.gridfs.cursor import GridOutCursor as GridOutCursor
    from wiredrv.gridfs.download import GridOut as GridOut
    from wiredrv.gridfs.upload import GridIn as GridIn
    from wiredrv.operations.results import BulkWriteResult as BulkWriteResult
    from wiredrv.operations.results import ClientBulkWriteResult as ClientBulkWriteResult
    from wiredrv.operations.results import DeleteResult as DeleteResult
    from wiredrv.operations.results import InsertManyResult as InsertManyResult
    from wiredrv.operations.results import InsertOneResult as InsertOneResult
    from wiredrv.operations.results import UpdateResult as UpdateResult
    from wiredrv.session.options import SessionOptions as SessionOptions
    from wiredrv.session.options import TransactionOptions as TransactionOptions
    from wiredrv.session.tokens import TokenKeys as TokenKeys
    from wiredrv.timeline.recording import record as record
    from wiredrv.timeline.timeline import Timeline as Timeline
    from wiredrv.types import Address as Address

_HOMES = {
    "ASCENDING": "wiredrv.client.constants",
    "AWSCredentials": "wiredrv.connection.auth.callbacks",
    "Address": "wiredrv.types",
    "BulkWriteResult": "wiredrv.operations.results",
    "ChangeStream": "wiredrv.client.change_streams.stream",
    "Client": "wiredrv.client.client",
    "ClientBulkWriteResult": "wiredrv.operations.results",
    "ClientCredentials": "wiredrv.connection.settings",
    "ClientSession": "wiredrv.client.sessions.client_session",
    "Collation": "wiredrv.collation",
    "CollationAlternate": "wiredrv.collation",
    "CollationCaseFirst": "wiredrv.collation",
    "CollationMaxVariable": "wiredrv.collation",
    "CollationStrength": "wiredrv.collation",
    "Collection": "wiredrv.client.collection",
    "CommandCursor": "wiredrv.client.cursors.command_cursor",
    "Cursor": "wiredrv.client.cursors.cursor",
    "CursorType": "wiredrv.client.constants",
    "DESCENDING": "wiredrv.client.constants",
    "Database": "wiredrv.client.database",
    "DeleteMany": "wiredrv.client.requests",
    "DeleteOne": "wiredrv.client.requests",
    "DeleteResult": "wiredrv.operations.results",
    "DriverError": "wiredrv.errors",
    "DriverInfo": "wiredrv.connection.settings",
    "GEO2D": "wiredrv.client.constants",
    "GEOSPHERE": "wiredrv.client.constants",
    "GridFSBucket": "wiredrv.gridfs.bucket",
    "GridIn": "wiredrv.gridfs.upload",
    "GridOut": "wiredrv.gridfs.download",
    "GridOutCursor": "wiredrv.gridfs.cursor",
    "HASHED": "wiredrv.client.constants",
    "IndexModel": "wiredrv.client.requests",
    "InsertManyResult": "wiredrv.operations.results",
    "InsertOne": "wiredrv.client.requests",
    "InsertOneResult": "wiredrv.operations.results",
    "Nearest": "wiredrv.concerns",
    "OIDCCallback": "wiredrv.connection.auth.callbacks",
    "OIDCCallbackContext": "wiredrv.connection.auth.callbacks",
    "OIDCCallbackResult": "wiredrv.connection.auth.callbacks",
    "OIDCIdPInfo": "wiredrv.connection.auth.callbacks",
    "Primary": "wiredrv.concerns",
    "PrimaryPreferred": "wiredrv.concerns",
    "RawBatchCommandCursor": "wiredrv.client.cursors.raw",
    "RawBatchCursor": "wiredrv.client.cursors.raw",
    "ReadConcern": "wiredrv.concerns",
    "ReadPreference": "wiredrv.concerns",
    "ReplaceOne": "wiredrv.client.requests",
    "RetryPolicy": "wiredrv.client.sessions.with_transaction",
    "ReturnDocument": "wiredrv.client.constants",
    "Scan": "wiredrv.client.snapshots.scan",
    "ScanProgress": "wiredrv.client.snapshots.progress",
    "SearchIndexModel": "wiredrv.client.collection_search",
    "Secondary": "wiredrv.concerns",
    "SecondaryPreferred": "wiredrv.concerns",
    "ServerApi": "wiredrv.connection.settings",
    "SessionOptions": "wiredrv.session.options",
    "Snapshot": "wiredrv.client.snapshots.snapshot",
    "TEXT": "wiredrv.client.constants",
    "Timeline": "wiredrv.timeline.timeline",
    "TokenKeys": "wiredrv.session.tokens",
    "TransactionOptions": "wiredrv.session.options",
    "UpdateMany": "wiredrv.client.requests",
    "UpdateOne": "wiredrv.client.requests",
    "UpdateResult": "wiredrv.operations.results",
    "WriteConcern": "wiredrv.concerns",
    "connect": "wiredrv.client.connect",
    "record": "wiredrv.timeline.recording",
    "timeout": "wiredrv.execution.timeout",
    "unbound": "wiredrv.client.sessions.blocks",
}
_MODULES = frozenset({"errors", "events"})

#: Written out, since type checkers do not read computed lists; a test compares it with ``_HOMES``.
__all__ = [
    "ASCENDING",
    "DESCENDING",
    "GEO2D",
    "GEOSPHERE",
    "HASHED",
    "TEXT",
    "AWSCredentials",
    "Address",
    "BulkWriteResult",
    "ChangeStream",
    "Client",
    "ClientBulkWriteResult",
    "ClientCredentials",
    "ClientSession",
    "Collation",
    "CollationAlternate",
    "CollationCaseFirst",
    "CollationMaxVariable",
    "CollationStrength",
    "Collection",
    "CommandCursor",
    "Cursor",
    "CursorType",
    "Database",
    "DeleteMany",
    "DeleteOne",
    "DeleteResult",
    "DriverError",
    "DriverInfo",
    "GridFSBucket",
    "GridIn",
    "GridOut",
    "GridOutCursor",
    "IndexModel",
    "InsertManyResult",
    "InsertOne",
    "InsertOneResult",
    "Nearest",
    "OIDCCallback",
    "OIDCCallbackContext",
    "OIDCCallbackResult",
    "OIDCIdPInfo",
    "Primary",
    "PrimaryPreferred",
    "RawBatchCommandCursor",
    "RawBatchCursor",
    "ReadConcern",
    "ReadPreference",
    "ReplaceOne",
    "RetryPolicy",
    "ReturnDocument",
    "Scan",
    "ScanProgress",
    "SearchIndexModel",
    "Secondary",
    "SecondaryPreferred",
    "ServerApi",
    "SessionOptions",
    "Snapshot",
    "Timeline",
    "TokenKeys",
    "TransactionOptions",
    "UpdateMany",
    "UpdateOne",
    "UpdateResult",
    "WriteConcern",
    "__version__",
    "connect",
    "errors",
    "events",
    "record",
    "timeout",
    "unbound",
]


if not TYPE_CHECKING:  # else a misspelt name would be no error for type checkers

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return importlib.import_module(f"wiredrv.{name}")
        home = _HOMES.get(name)
        if home is None:
            advice = importlib.import_module("wiredrv.client.absent").renamed_note(name)
            raise AttributeError(f"module 'wiredrv' has no attribute {name!r}{advice}")
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return list(__all__)
