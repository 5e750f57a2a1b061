"""ObjectIds for many documents at once. ObjectID specification.

An ObjectId is four bytes with the time in seconds, five random bytes of the process, and a counter of three bytes.
``ObjectId()`` asks for the process, the time and a lock each time; here these are asked for once for many, which takes
less than half the time. The random bytes are not those that ``ObjectId()`` uses, so that two counters can never meet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count, islice

from bson.objectid import ObjectId

#: How many ids are made before the time is read again: far fewer than the counter can tell apart in a second.
_BETWEEN_CLOCKS = 10_000
_COUNTER_MASK = 0xFFFFFF


class _Process:
    """The random bytes and the counter of this process."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forget what a parent process uses."""
        self.random = os.urandom(5)
        # The counter begins at a random number (ObjectID specification, "Counter").
        self.counter = count(int.from_bytes(os.urandom(3), "big"))


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.renew)


def object_ids() -> Iterator[ObjectId]:
    """New ObjectIds, without end."""
    while True:
        prefix = ObjectId().binary[:4] + _process.random
        for number in islice(_process.counter, _BETWEEN_CLOCKS):
            yield ObjectId(prefix + (number & _COUNTER_MASK).to_bytes(3, "big"))
