"""The ranges of ``_id`` in which a collection is read, and the commands that read one. Pure.

Rules kept here:

* Ranges are bounds of the index on ``_id`` (``min`` and ``max`` of a find, with a hint): they follow the index's order,
  over all types and with the collection's collation. ``$gte`` and ``$lt`` compare values of one type only, and leave
  out the documents whose ``_id`` has another type than the bounds.
* ``min`` is inclusive, ``max`` is exclusive. The first range has no ``min``, the last one no ``max``. The server then
  takes MaxKey for ``max``, which leaves out the document whose ``_id`` is MaxKey: it is read by a find of its own.
* A range is continued from the ``_id`` that was read last, of which the bytes are kept: decoded and encoded again, some
  values sort elsewhere (the deprecated type ``undefined`` becomes null).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bson.max_key import MaxKey
from bson.raw_bson import RawBSONDocument

from wiredrv.types import Document, PlainDocument

#: The order of the index that every ordinary collection has. (A list, as the name may differ where it is clustered.)
ID_INDEX: PlainDocument = {"_id": 1}

#: Where the byte of the type is in a document with one field, and the types that are no bounds.
_TYPE_AT = 4
_MAX_KEY = 0x7F
_NO_BOUNDS = frozenset({_MAX_KEY, 0xFF})

#: How many documents at most have their ids read from the index instead of a sample, which must be smaller than 5 % of
#: a collection: else the server reads all of it.
FEW_DOCUMENTS = 20_000
#: Below so many documents for each range, there are fewer ranges.
_LEAST_DOCUMENTS = 200
#: Ranges for each reader, so that one that gets long ranges does not keep the others waiting in the end.
_RANGES_PER_READER = 8
#: Bytes of a range at least, unless there are too few for the readers: each range costs a command or two.
_LEAST_BYTES = 4 * 1024 * 1024
#: Bytes of a range where the order of the documents is kept: about what a reader may have read ahead.
_ORDERED_BYTES = 2 * 1024 * 1024
_MOST_RANGES = 2000
#: How many sampled ids there are for each range that is wanted.
_SAMPLED = 8


class Range(NamedTuple):
    """A part of a collection: the documents from ``lower`` on, and before ``upper``; None is open.

    Bounds are encoded documents of the form ``{"_id": value}``.
    """

    number: int
    lower: bytes | None = None
    upper: bytes | None = None


class Step(NamedTuple):
    """What one find reads of a range.

    :param after: the ``_id`` that was read last, where the range is continued: ``lower`` includes it.
    :param top: whether it reads only the document whose ``_id`` is MaxKey.
    """

    lower: bytes | None = None
    upper: bytes | None = None
    after: bytes | None = None
    top: bool = False

    def filter(self, wanted: Document) -> Document:
        """The filter of the find.

        :param wanted: the user's.
        """
        if not self.top:
            return wanted
        return {"$and": [wanted, {"_id": MaxKey()}]} if wanted else {"_id": MaxKey()}

    def bounds(self) -> PlainDocument:
        """The fields of the find that set its bounds."""
        found: PlainDocument = {} if self.top else {"hint": ID_INDEX}
        if self.lower is not None:
            found["min"] = RawBSONDocument(self.lower)
        if self.upper is not None:
            found["max"] = RawBSONDocument(self.upper)
        return found


def first_step(part: Range) -> Step:
    """What is read first of a range."""
    return Step(part.lower, part.upper)


def step_after_failure(step: Step, last: bytes | None) -> Step | None:
    """What is left of a step that failed.

    :param last: the ``_id`` of the last document that was read of its range; None if there was none.
    :returns: the next step; None if nothing is left.
    """
    if last is None or step.top:
        return step
    return None if _is_max_key(last) else Step(last, step.upper, after=last)


def step_after_end(step: Step, last: bytes | None) -> Step | None:
    """What is read of a range after a step that was read to its end; None if nothing is left.

    :param last: as of :func:`step_after_failure`.
    """
    if step.top or step.upper is not None or step.lower is None:
        return None
    return None if last is not None and _is_max_key(last) else Step(top=True)


def _is_max_key(identifier: bytes) -> bool:
    return identifier[_TYPE_AT] == _MAX_KEY


# --- how a collection is split ---


def split(ids: Sequence[bytes], wanted: int) -> list[Range]:
    """Ranges with about equally many documents.

    :param ids: ``_id`` documents of the collection, or of a sample of it, in the order of the index.
    :param wanted: how many ranges.
    :returns: the ranges in their order; fewer where the ids are fewer.
    """
    bounds: list[bytes] = []
    for number in range(1, wanted):
        bound = ids[number * len(ids) // wanted] if ids else b""
        if bound and bound[_TYPE_AT] not in _NO_BOUNDS and bound not in bounds[-1:]:
            bounds.append(bound)
    lower = [None, *bounds]
    upper = [*bounds, None]
    return [Range(number, *pair) for number, pair in enumerate(zip(lower, upper, strict=True))]


def sample_size(documents: int, readers: int, ordered: bool) -> int | None:
    """How many documents to sample for the bounds of ranges; None to read all ids from the index.

    :param documents: the estimated number of documents.
    """
    if documents <= FEW_DOCUMENTS:
        return None
    most = readers * _RANGES_PER_READER * _SAMPLED
    return min(max(most, _MOST_RANGES) if ordered else most, documents // 20 - 1)


def ranges_wanted(documents: int, average: float | None, readers: int, ordered: bool) -> int:
    """How many ranges to split a collection into.

    :param documents: the estimated number of documents.
    :param average: the average size of a document in bytes; None if it is not known.
    :param ordered: whether the documents are given in the order of their ids: short ranges let the readers work at
        the same time then.
    """
    if readers == 1:
        return 1
    wanted = readers * _RANGES_PER_READER
    if average is not None and ordered:
        wanted = max(wanted, int(documents * average / _ORDERED_BYTES))
    elif average is not None:
        wanted = max(readers, min(wanted, int(documents * average / _LEAST_BYTES)))
        wanted -= wanted % readers  # With one range too many, one reader reads twice as long as the others.
    return max(1, min(wanted, documents // _LEAST_DOCUMENTS, _MOST_RANGES))
