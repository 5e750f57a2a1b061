"""The synchronous face of the driver: PyMongo's synchronous API, safe for threads.

::

    from wiredrv.sync import Client

    with Client("mongodb://localhost:27017/?replicaSet=rs0") as client:
        with client.start_session() as session, session.start_transaction():
            client.shop.orders.insert_one({"sku": "abc"}, session=session)

A call runs the driver's own coroutine in the calling thread, and a wait blocks that thread: there is no event loop, and
no other thread takes part in an operation. The classes are written from the asynchronous ones by
``python -m tools.synchronous``. What does not wait (concerns, results, errors, events) is the same as in ``wiredrv``.
"""

from __future__ import annotations

from wiredrv.client.sessions.blocks import unbound
from wiredrv.execution.timeout import timeout
from wiredrv.sync.blocks import SessionBinding, TransactionContext
from wiredrv.sync.bucket import GridFSBucket
from wiredrv.sync.change_stream import ChangeStream
from wiredrv.sync.client import Client
from wiredrv.sync.client_session import ClientSession
from wiredrv.sync.client_transaction import ClientTransaction
from wiredrv.sync.collection import Collection
from wiredrv.sync.command_cursor import CommandCursor
from wiredrv.sync.cursor import Cursor
from wiredrv.sync.database import Database
from wiredrv.sync.download import GridOut
from wiredrv.sync.grid_cursor import GridOutCursor
from wiredrv.sync.raw import RawBatchCommandCursor, RawBatchCursor
from wiredrv.sync.scan import Scan
from wiredrv.sync.snapshot import Snapshot
from wiredrv.sync.upload import GridIn

__all__ = [
    "ChangeStream",
    "Client",
    "ClientSession",
    "ClientTransaction",
    "Collection",
    "CommandCursor",
    "Cursor",
    "Database",
    "GridFSBucket",
    "GridIn",
    "GridOut",
    "GridOutCursor",
    "RawBatchCommandCursor",
    "RawBatchCursor",
    "Scan",
    "SessionBinding",
    "Snapshot",
    "TransactionContext",
    "timeout",
    "unbound",
]
