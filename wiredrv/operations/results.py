"""The results of writes. PyMongo's names and properties.

Rules kept here:

* A result of an unacknowledged write (``w=0``) has only ``acknowledged``: its counts raise InvalidOperation (CRUD
  specification, "Write Results").
* A reply is shared with event listeners, so nothing here changes it.
"""

from __future__ import annotations

from typing import Any

from wiredrv.errors import InvalidOperation
from wiredrv.types import Document, PlainDocument, Reply


class WriteResult:
    """The base of all results: whether the server acknowledged the write."""

    __slots__ = ("acknowledged",)

    #: Whether the server acknowledged the write.
    acknowledged: bool

    def _need_acknowledged(self, name: str) -> None:
        if not self.acknowledged:
            raise InvalidOperation(
                f"{name} is unknown for an unacknowledged write (w=0): check 'acknowledged' first, "
                "or write with w=1 or more"
            )


class InsertOneResult(WriteResult):
    """The result of ``insert_one``. CRUD specification, "Write Results".

    :param inserted_id: the ``_id`` of the document.
    :param acknowledged: whether the server acknowledged the write.
    """

    __slots__ = ("inserted_id",)

    #: The ``_id`` of the document, given or generated.
    inserted_id: Any

    def __init__(self, inserted_id: Any, acknowledged: bool) -> None:
        self.inserted_id = inserted_id
        self.acknowledged = acknowledged

    def __repr__(self) -> str:
        return f"InsertOneResult({self.inserted_id!r}, acknowledged={self.acknowledged})"


class InsertManyResult(WriteResult):
    """The result of ``insert_many``. CRUD specification, "Write Results".

    :param inserted_ids: the ``_id`` of each document.
    :param acknowledged: whether the server acknowledged the write.
    """

    __slots__ = ("inserted_ids",)

    #: The ``_id`` of each document, in the order in which they were given.
    inserted_ids: list[Any]

    def __init__(self, inserted_ids: list[Any], acknowledged: bool) -> None:
        self.inserted_ids = inserted_ids
        self.acknowledged = acknowledged

    def __repr__(self) -> str:
        return f"InsertManyResult({self.inserted_ids!r}, acknowledged={self.acknowledged})"


class UpdateResult(WriteResult):
    """The result of ``update_one``, ``update_many`` and ``replace_one``. CRUD specification, "Write Results".

    :param raw_result: the server's reply.
    :param acknowledged: whether the server acknowledged the write.
    """

    __slots__ = ("_reply",)

    def __init__(self, raw_result: Reply | None, acknowledged: bool) -> None:
        self._reply = raw_result or {}
        self.acknowledged = acknowledged

    @property
    def raw_result(self) -> PlainDocument:
        """The server's reply, with ``upserted`` as the ``_id`` itself and ``updatedExisting``, as in PyMongo."""
        raw = dict(self._reply)
        upserted = raw.get("upserted")
        raw["updatedExisting"] = not upserted and bool(raw.get("n"))
        if upserted:
            raw["upserted"] = self._upserted()
        return raw

    @property
    def matched_count(self) -> int:
        """How many documents matched the filter; 0 when one was upserted.

        :raises InvalidOperation: the write was unacknowledged.
        """
        self._need_acknowledged("matched_count")
        return 0 if self._reply.get("upserted") else int(self._reply.get("n", 0))

    @property
    def modified_count(self) -> int:
        """How many documents were changed.

        :raises InvalidOperation: the write was unacknowledged.
        """
        self._need_acknowledged("modified_count")
        return int(self._reply.get("nModified", 0))

    @property
    def upserted_id(self) -> Any:
        """The ``_id`` of the document that an upsert inserted, or None.

        :raises InvalidOperation: the write was unacknowledged.
        """
        self._need_acknowledged("upserted_id")
        return self._upserted()

    @property
    def upserted_count(self) -> int:
        """How many documents were upserted: 0 or 1.

        :raises InvalidOperation: the write was unacknowledged.
        """
        self._need_acknowledged("upserted_count")
        return 1 if self._reply.get("upserted") else 0

    @property
    def did_upsert(self) -> bool:
        """Whether the update inserted a document.

        :raises InvalidOperation: the write was unacknowledged.
        """
        self._need_acknowledged("did_upsert")
        return bool(self._reply.get("upserted"))

    def _upserted(self) -> Any:
        upserted = self._reply.get("upserted")
        return upserted[0]["_id"] if upserted else None

    def __repr__(self) -> str:
        if not self.acknowledged:
            return "UpdateResult(acknowledged=False)"
        return (
            f"UpdateResult(matched_count={self.matched_count}, modified_count={self.modified_count}, "
            f"upserted_id={self.upserted_id!r}, acknowledged=True)"
        )


class DeleteResult(WriteResult):
    """The result of ``delete_one`` and ``delete_many``. CRUD specification, "Write Results".

    :param raw_result: the server's reply.
    :param acknowledged: whether the server acknowledged the write.
    """

    __slots__ = ("_reply",)

    def __init__(self, raw_result: Reply | None, acknowledged: bool) -> None:
        self._reply = raw_result or {}
        self.acknowledged = acknowledged

    @property
    def raw_result(self) -> PlainDocument:
        """The server's reply."""
        return dict(self._reply)

    @property
    def deleted_count(self) -> int:
        """How many documents were deleted.

        :raises InvalidOperation: the write was unacknowledged.
        """
        self._need_acknowledged("deleted_count")
        return int(self._reply.get("n", 0))

    def __repr__(self) -> str:
        if not self.acknowledged:
            return "DeleteResult(acknowledged=False)"
        return f"DeleteResult(deleted_count={self.deleted_count}, acknowledged=True)"


class _BulkCounts(WriteResult):
    """The counts that the bulk writes of collections and of clients have in common."""

    __slots__ = ("bulk_api_result",)

    bulk_api_result: Document

    def _count(self, name: str, field: str) -> int:
        self._need_acknowledged(name)
        return int(self.bulk_api_result.get(field, 0))

    @property
    def inserted_count(self) -> int:
        """How many documents were inserted.

        :raises InvalidOperation: the writes were unacknowledged.
        """
        return self._count("inserted_count", "nInserted")

    @property
    def matched_count(self) -> int:
        """How many documents the updates matched."""
        return self._count("matched_count", "nMatched")

    @property
    def modified_count(self) -> int:
        """How many documents the updates changed."""
        return self._count("modified_count", "nModified")

    @property
    def upserted_count(self) -> int:
        """How many documents were upserted."""
        return self._count("upserted_count", "nUpserted")


class BulkWriteResult(_BulkCounts):
    """The result of ``bulk_write``. Counts and ``_id`` values of all its batches together.

    CRUD specification, "Write Results".

    :param bulk_api_result: the counts.
    :param acknowledged: whether the server acknowledged the write.
    """

    __slots__ = ()

    #: The counts under the names that :class:`~wiredrv.errors.BulkWriteError` uses in its ``details``.
    bulk_api_result: Document

    def __init__(self, bulk_api_result: Document, acknowledged: bool) -> None:
        self.bulk_api_result = bulk_api_result
        self.acknowledged = acknowledged

    @property
    def deleted_count(self) -> int:
        """How many documents were deleted."""
        return self._count("deleted_count", "nRemoved")

    @property
    def upserted_ids(self) -> dict[int, Any]:
        """The ``_id`` of each upserted document, by the index of its request."""
        self._need_acknowledged("upserted_ids")
        return {entry["index"]: entry["_id"] for entry in self.bulk_api_result.get("upserted", ())}

    def __repr__(self) -> str:
        return f"BulkWriteResult({dict(self.bulk_api_result)!r}, acknowledged={self.acknowledged})"


class ClientBulkWriteResult(_BulkCounts):
    """The result of ``client.bulk_write``. CRUD specification, "Bulk Write" of clients.

    :param bulk_api_result: the counts, and the results of single writes.
    :param acknowledged: whether the server acknowledged the writes.
    :param has_verbose_results: whether the results of single writes were asked for.
    """

    __slots__ = ("has_verbose_results",)

    #: The counts under the names that the server uses, and the results of single writes.
    bulk_api_result: Document
    #: Whether there are results of single writes: ``verbose_results`` was given.
    has_verbose_results: bool

    def __init__(self, bulk_api_result: Document, acknowledged: bool, has_verbose_results: bool) -> None:
        self.bulk_api_result = bulk_api_result
        self.acknowledged = acknowledged
        self.has_verbose_results = has_verbose_results

    def _single(self, name: str, field: str) -> Any:
        self._need_acknowledged(name)
        if not self.has_verbose_results:
            raise InvalidOperation(f"{name} is only known with verbose_results=True")
        return self.bulk_api_result[field]

    @property
    def deleted_count(self) -> int:
        """How many documents were deleted."""
        return self._count("deleted_count", "nDeleted")

    @property
    def insert_results(self) -> dict[int, InsertOneResult]:
        """The result of each insert that succeeded, by its index in the list of models.

        :raises InvalidOperation: the writes were unacknowledged, or ``verbose_results`` was not given.
        """
        found: dict[int, InsertOneResult] = self._single("insert_results", "insertResults")
        return found

    @property
    def update_results(self) -> dict[int, UpdateResult]:
        """The result of each update and replacement that succeeded. An upsert counts as a match here.

        :raises InvalidOperation: the writes were unacknowledged, or ``verbose_results`` was not given.
        """
        found: dict[int, UpdateResult] = self._single("update_results", "updateResults")
        return found

    @property
    def delete_results(self) -> dict[int, DeleteResult]:
        """The result of each delete that succeeded.

        :raises InvalidOperation: the writes were unacknowledged, or ``verbose_results`` was not given.
        """
        found: dict[int, DeleteResult] = self._single("delete_results", "deleteResults")
        return found

    def __repr__(self) -> str:
        return (
            f"ClientBulkWriteResult({dict(self.bulk_api_result)!r}, acknowledged={self.acknowledged}, "
            f"has_verbose_results={self.has_verbose_results})"
        )
