"""Names for values that arguments take. PyMongo's names and values."""

from __future__ import annotations

from typing import Final

ASCENDING: Final = 1
DESCENDING: Final = -1
TEXT: Final = "text"
HASHED: Final = "hashed"
GEO2D: Final = "2d"
GEOSPHERE: Final = "2dsphere"


class ReturnDocument:
    """Which state of a document ``find_one_and_update`` and ``find_one_and_replace`` return.

    CRUD specification, "Find And Modify".
    """

    #: The document before the change, or None if it was inserted.
    BEFORE: Final = False
    #: The document after the change.
    AFTER: Final = True


class CursorType:
    """How a cursor behaves at the end of its data. CRUD specification, "Read"."""

    #: The cursor ends.
    NON_TAILABLE: Final = 0
    #: It stays open on a capped collection; more documents may come.
    TAILABLE: Final = 2
    #: As TAILABLE, and the server waits a while for more before it answers.
    TAILABLE_AWAIT: Final = 34
    #: The server streams the batches, without being asked for each, on a connection that the cursor holds meanwhile.
    EXHAUST: Final = 64
