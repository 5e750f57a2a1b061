"""The kinds of find cursors, and the bits of the old query flags that stand for options of find. PyMongo's numbers.

CRUD specification, "Read" (CursorType); find_getmore_killcursors_commands, "Mapping OP_QUERY behavior to the find
command".
"""

from __future__ import annotations

from wiredrv.client.constants import CursorType
from wiredrv.errors import ConfigurationError

#: The options that bits stand for, under the names of the find command.
FLAGS = {8: "oplogReplay", 16: "noCursorTimeout", 128: "allowPartialResults"}
#: The bits of ``CursorType`` that are fields of the find command.
WAITING = {2: "tailable", 32: "awaitData"}
#: All bits of ``CursorType``.
OF_TYPE = CursorType.TAILABLE_AWAIT | CursorType.EXHAUST
#: Whether a secondary may answer: the read preference says it.
_SECONDARY_OK = 4

_KNOWN = sum(FLAGS) | OF_TYPE | _SECONDARY_OK


def cursor_type(value: object) -> int:
    """A ``cursor_type`` other than the usual one.

    :raises ConfigurationError: it is none.
    """
    if value in (CursorType.TAILABLE, CursorType.TAILABLE_AWAIT, CursorType.EXHAUST) and isinstance(value, int):
        return int(value)
    raise ConfigurationError(f"cursor_type must be a CursorType, not {value!r}")


def query_flags(mask: object) -> int:
    """A sum of bits.

    :raises ConfigurationError: it is not a whole number, or has a bit without a meaning.
    """
    if not isinstance(mask, int) or isinstance(mask, bool) or mask & ~_KNOWN:
        raise ConfigurationError(f"mask must be a sum of query flags ({_KNOWN} has all of them), not {mask!r}")
    return mask


def refuse_limit_of_exhaust(kind: int, limit: int) -> None:
    """Refuse a limit of an exhaust cursor: the server may have sent more by the time that it is reached.

    :raises ConfigurationError: it has both.
    """
    if kind & CursorType.EXHAUST and limit:
        raise ConfigurationError("a limit cannot be combined with CursorType.EXHAUST: leave one of them out")
