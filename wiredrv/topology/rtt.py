"""Round-trip times: the moving average and the least of the last ten samples. Pure.

Server-selection specification, "Calculation of Average Round Trip Times" and "Minimum Round Trip Times".
"""

from __future__ import annotations

_NEWEST_WEIGHT = 0.2
_SAMPLES = 10


class RoundTripTimes:
    """The round-trip times of one server, in seconds."""

    __slots__ = ("_recent", "average")

    def __init__(self) -> None:
        self.average: float | None = None
        self._recent: list[float] = []

    def add(self, sample: float) -> None:
        """Add a sample."""
        if self.average is None:
            self.average = sample
        else:
            self.average = _NEWEST_WEIGHT * sample + (1 - _NEWEST_WEIGHT) * self.average
        self._recent = [*self._recent[1 - _SAMPLES :], sample]

    @property
    def least(self) -> float:
        """The least recent sample; 0 until there are two."""
        return min(self._recent) if len(self._recent) > 1 else 0.0

    def reset(self) -> None:
        """Drop all samples: the server was lost."""
        self.average = None
        self._recent = []
