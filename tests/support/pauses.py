"""Records the pauses that a module makes with ``sleep``; they still take place.

Tests that compare durations fail on a busy machine; the requested durations do not depend on the machine.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from wiredrv import waits


class _WaitsWithRecordedSleep:
    """Replaces ``waits`` in one module."""

    def __init__(self, pauses: list[float]) -> None:
        self._pauses = pauses

    async def sleep(self, seconds: float) -> None:
        self._pauses.append(seconds)
        await waits.sleep(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(waits, name)


def recorded_pauses(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[float]:
    """The list of the pauses, in seconds, that ``module`` makes with ``waits.sleep`` from now on."""
    pauses: list[float] = []
    monkeypatch.setattr(module, "waits", _WaitsWithRecordedSleep(pauses))
    return pauses
