"""Rows of the table: GridFS, and change streams."""

from __future__ import annotations

from collections.abc import Sequence

from tests.differential.calls import Get, Target, options
from tests.differential.conditions import arguments, failed, field, says
from tests.differential.outcomes import Difference
from tests.differential.row import Known
from tests.differential.short import KEEP, PEOPLE, SESSION, call, in_transaction

_BUCKET = Target("bucket", "fs", options(chunk_size_bytes=4))


def in_a_transaction(difference: Difference) -> bool:
    return difference.what == "outcome" and says(difference.theirs, "GridFS does not support multi-document trans")


def length_as_stored(difference: Difference) -> bool:
    same = difference.theirs == difference.ours
    return difference.what == "result" and difference.method == "length" and same


def order_of_fields(difference: Difference) -> bool:
    return difference.what == "data" and difference.place.endswith(".files.documents.*.<order>")


def stored_and_aborted(difference: Difference) -> bool:
    return difference.what == "outcome" and says(difference.ours, "this upload is complete, so it cannot be aborted")


def read_after_its_end(difference: Difference) -> bool:
    return difference.what == "outcome" and says(difference.ours, "^this file was closed")


def collation_of_events(difference: Difference) -> bool:
    if difference.method != "watch" or not dict(arguments(difference)).get("collation"):
        return False
    # The server refuses some.
    refused = difference.what == "outcome" and failed(difference.ours, "OperationFailure")
    return refused or field(difference, r"aggregate\.collation")


FILES: Sequence[Known] = (
    Known(
        "gridfs-transactions",
        "GridFS is refused in transactions",
        "files are stored, read and deleted in transactions, in which no index is created: `bucket.create_indexes()`",
        "a file belongs to the document that refers to it",
        in_a_transaction,
        ends=True,
        example=in_transaction(call(_BUCKET, "delete", 0, session=SESSION)),
    ),
    Known(
        "gridfs-stored-uploads",
        "`abort()` of an upload that is complete deletes the file",
        "an error: `bucket.delete()` deletes files",
        "a stored file may be in use already",
        stored_and_aborted,
        ends=True,
        example=(
            call(_BUCKET, "open_upload_stream", "new", take=KEEP),
            call(Target("file", 2), "close"),
            call(Target("file", 2), "abort"),
        ),
    ),
    Known(
        "gridfs-closed-files",
        "a closed `GridOut` can be read",
        "an error, as of Python's files",
        "what uses a closed file has a mistake",
        read_after_its_end,
        ends=True,
        example=(
            call(_BUCKET, "open_download_stream", 0, take=KEEP),
            call(Target("file", 2), "close"),
            call(Target("file", 2), "read"),
        ),
    ),
    Known(
        "gridfs-length",
        "`GridOut.length` is the number as it is stored, an `Int64`, or a float",
        "an `int`",
        "older drivers stored lengths as other numbers",
        length_as_stored,
        example=(call(_BUCKET, "open_download_stream", 0, take=KEEP), Get(Target("file", 2), "length")),
    ),
    Known(
        "gridfs-metadata-last",
        "`metadata` is stored as the third field of a file's document",
        "the last",
        "the other fields are at the same place in every file",
        order_of_fields,
        example=(call(_BUCKET, "upload_from_stream", "new", b"0123", metadata={"k": 1}),),
    ),
    Known(
        "change-stream-collation",
        "`watch(collation=...)` is not sent",
        "it is sent",
        "the stages that filter events compare as the caller asks",
        collation_of_events,
        ends=True,
        example=(call(PEOPLE, "watch", [], take=KEEP, collation={"locale": "en", "strength": 2}),),
    ),
)
