"""The document of a file: what is read from it and what is written; revisions; the indexes of both collections. Pure.

GridFS specification, "Terms", "Indexes", "File Upload" and "File Download by Filename".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from wiredrv.errors import ConfigurationError, CorruptGridFile
from wiredrv.gridfs.chunks import Shape
from wiredrv.types import Document, PlainDocument

#: The index of the files collection, and the unique one of the chunks collection.
FILES_INDEX: Document = {"filename": 1, "uploadDate": 1}
CHUNKS_INDEX: Document = {"files_id": 1, "n": 1}

#: The largest number that a file's document can have as its length.
_MOST = 2**63 - 1


def has_index(indexes: Iterable[Document], keys: Document) -> bool:
    """Whether one of ``indexes`` has ``keys``, in their order. Numbers are compared by value, whatever their types."""
    wanted = list(keys.items())
    found = (index.get("key") for index in indexes)
    return any(isinstance(key, Mapping) and list(key.items()) == wanted for key in found)


def shape_of(file: Document) -> Shape:
    """The chunks that a file must have. Its length and its chunks' size may be numbers of any type.

    :raises CorruptGridFile: they are not whole numbers that a file can have.
    """
    length = _whole(file, "length", 0)
    # An empty file has no chunks, of whatever size.
    return Shape(length, _whole(file, "chunkSize", 1 if length else 0) or 1)


def _whole(file: Document, name: str, least: int) -> int:
    # Without its length, a file would seem to be empty.
    value = file.get(name, 0 if name != "length" else None)
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = -1
    if isinstance(value, (bool, str, bytes)) or whole != value or not least <= whole <= _MOST:
        raise CorruptGridFile(f"the file {file.get('_id')!r} has the {name!r} {value!r}")
    return whole


def id_of(file: Document) -> object:
    """The id of a file.

    :raises CorruptGridFile: it has none.
    """
    if "_id" not in file:
        raise CorruptGridFile("the server sent the document of a file without its _id")
    return file["_id"]


def file_document(
    file_id: object, shape: Shape, uploaded: datetime, filename: str, metadata: Document | None
) -> PlainDocument:
    """The document that makes the chunks of an upload a file."""
    document: PlainDocument = {
        "_id": file_id,
        "filename": filename,
        "chunkSize": shape.chunk_size,
        "length": Int64(shape.length),
        "uploadDate": uploaded,
    }
    if metadata is not None:
        document["metadata"] = metadata
    return document


def revision_order(revision: object) -> tuple[int, int]:
    """How to find a revision: the direction in which the files of one name are sorted by their dates, and how many of
    them to skip.

    :param revision: 0 is the first file of that name, 1 the second; -1 the last, -2 the one before.
    :raises ConfigurationError: it is not a whole number.
    """
    if isinstance(revision, bool) or not isinstance(revision, int):
        raise ConfigurationError(f"revision must be a whole number, not {revision!r}: 0 is the oldest, -1 the newest")
    return (1, revision) if revision >= 0 else (-1, -revision - 1)


def check_filename(name: str, value: object) -> str:
    """A file's name.

    :param name: the argument's.
    :raises ConfigurationError: it is not a string, or has no UTF-8 form.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a string, not {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"{name} cannot be encoded as UTF-8, as names of files on a disk sometimes cannot: {value!r}; "
            "value.encode(errors='replace').decode() gives a name that can"
        ) from None
    return value


def check_metadata(value: Any) -> Document | None:
    """A file's metadata.

    :raises ConfigurationError: it is neither None nor a mapping.
    """
    if value is not None and not isinstance(value, Mapping):
        raise ConfigurationError(f"metadata must be a mapping, as {{'contentType': 'text/plain'}}, not {value!r}")
    return value
