"""Records the whole program if ``WIREDRV_RECORD`` says so. Otherwise nothing of ``timeline`` is loaded."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "WIREDRV_RECORD"


def record_if_wanted(environment: Mapping[str, str]) -> None:
    """Begin to record all clients into the file that the environment names, unless that is done already.

    :raises ConfigurationError: the file cannot be written.
    """
    name = environment.get(VARIABLE)
    if name:
        from wiredrv.timeline.program import start

        start(name)
