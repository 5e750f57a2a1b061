"""The pace of tests whose time limits are so short that a busy machine misses them.

Some files give a server 100 to 750 ms for a reply and have a fail point hold it back a little longer. They test the
order of the two and not their length, so here every duration in such a file is multiplied by one factor.

Without that, on a busy machine, a late reply may already have arrived when the deadline is checked, and count as in
time, and one that arrives in time may be read only after the deadline.
"""

from __future__ import annotations

import re
from typing import Any

#: By the file's name. The factor leaves at least half a second between what is in time and what is late.
FACTORS = {
    "auth-network-timeout-error.json": 4,
    "backpressure-network-timeout-fail-replicaset.json": 4,
    "backpressure-network-timeout-fail-single.json": 4,
    "deprecated-options.json": 3,
    "error-labels-blockConnection.json": 10,
    "find-network-timeout-error.json": 4,
    "hello-command-error.json": 4,
    "hello-network-error.json": 4,
    "hello-timeout.json": 4,
    "interruptInUse-pool-clear.json": 3,
    "retryability-legacy-timeouts.json": 3,
    "retryability-timeoutMS.json": 3,
}
#: The keys that hold a duration: options of connection strings, calls and fail points, the runner's own ``wait``, and
#: the bounds of a ``maxTimeMS`` that is expected.
_DURATIONS = frozenset(
    {
        "$$lte",
        "blockTimeMS",
        "connectTimeoutMS",
        "heartbeatFrequencyMS",
        "maxTimeMS",
        "ms",
        "socketTimeoutMS",
        "timeoutMS",
        "waitQueueTimeoutMS",
    }
)
#: A duration in JavaScript code that the server runs.
_SLEEP = re.compile(r"\bsleep\((\d+)\)")


def paced(name: str, document: Any) -> Any:
    """A test file's document with its durations multiplied, if it needs that; ``name`` is the file's name."""
    factor = FACTORS.get(name, 1)
    return document if factor == 1 else _multiplied(document, factor)


def _multiplied(value: Any, factor: int) -> Any:
    if isinstance(value, dict):
        return {
            key: inner * factor if key in _DURATIONS and isinstance(inner, int) else _multiplied(inner, factor)
            for key, inner in value.items()
        }
    if isinstance(value, str):
        return _SLEEP.sub(lambda found: f"sleep({int(found[1]) * factor})", value)
    return [_multiplied(inner, factor) for inner in value] if isinstance(value, list) else value
