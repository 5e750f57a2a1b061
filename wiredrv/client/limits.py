"""Time limits in arguments and options: ``timeout_ms``, ``timeout_mode``. Pure.

Client-side-operations-timeout specification, "Validation and Overrides" and "Cursors".
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from wiredrv.client.validation import refuse, whole_number
from wiredrv.errors import ConfigurationError
from wiredrv.operations.base import Operation, Target
from wiredrv.types import FOREVER, TimeLimit

T = TypeVar("T")

#: What ``timeout_ms`` limits: the first command and all getMores together, or each call that returns documents.
TimeoutMode: TypeAlias = Literal["cursor_lifetime", "iteration"]

_LIFETIME, _ITERATION = "cursor_lifetime", "iteration"


def limit_of(timeout_ms: object, *, of_call: bool = False) -> TimeLimit:
    """The limit of so many milliseconds; 0 is one of any length.

    :raises ConfigurationError: it is not a whole number from 0 up.
    """
    milliseconds = whole_number("timeout_ms", timeout_ms)
    return TimeLimit(milliseconds / 1000 if 0 < milliseconds < FOREVER * 1000 else math.inf, of_call=of_call)


def limited(target: Target, timeout_ms: int | None) -> Target:
    """A target for a call with a limit of its own; None takes that of the handle."""
    return target if timeout_ms is None else replace(target, limit=limit_of(timeout_ms, of_call=True))


def with_limit(operation: Operation[T], limit: TimeLimit) -> Operation[T]:
    """The same operation with another limit, which has started."""
    changed: Any = operation  # all operations are dataclasses
    found: Operation[T] = replace(changed, target=replace(operation.target, limit=limit))
    return found


class CursorKind(NamedTuple):
    """What matters about a cursor: whether it is tailable, and awaits data, and whether its command writes."""

    tailable: bool = False
    awaits_data: bool = False
    writes: bool = False


def cursor_limit(
    limit: TimeLimit | None, mode: object, kind: CursorKind, max_await_time_ms: int | None
) -> tuple[TimeLimit | None, bool]:
    """The limit of a cursor that is opened now, and whether it counts anew for each call that returns documents.

    :param limit: the one that is in force, which has started.
    :param mode: ``timeout_mode`` as it was given, or None.
    :raises ConfigurationError: ``mode`` is not one, or does not fit the cursor; or a getMore could never be answered.
    """
    if mode is not None and mode not in (_LIFETIME, _ITERATION):
        refuse("timeout_mode", "'cursor_lifetime' or 'iteration'", mode)
    if limit is None:
        if mode is not None:
            raise ConfigurationError("timeout_mode needs a time limit: give timeout_ms too")
        return None, False
    if kind.tailable and mode == _LIFETIME:
        raise ConfigurationError("a tailable cursor has no end, so its timeout_mode can only be 'iteration'")
    if kind.writes and mode == _ITERATION:
        raise ConfigurationError("timeout_mode='iteration' does not fit $out and $merge, which return nothing")
    if max_await_time_ms is not None and limit.seconds * 1000 <= max_await_time_ms:
        raise ConfigurationError(
            f"max_await_time_ms ({max_await_time_ms}) must be less than the time limit ({limit.seconds * 1000:.0f} "
            "ms), or no getMore that finds nothing could be answered in time"
        )
    iterates = kind.tailable or mode == _ITERATION
    # The server would apply a maxTimeMS to the getMores too (specification, "Non-tailable cursor behavior").
    return replace(limit, on_server=kind.awaits_data or not iterates), iterates
