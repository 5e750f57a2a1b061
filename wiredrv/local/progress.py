"""What a deployment is doing while it starts, as lines for a person: its log records, with the time since the start."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOGGER = logging.getLogger("wiredrv.local")


@contextmanager
def progress(say: Callable[[str], None]) -> Iterator[None]:
    """Call ``say`` with a line for each step that deployments take in the block, as they take it.

    :param say: called in the thread that starts the deployment.
    """
    handler = _Handler(say)
    level = _LOGGER.level
    _LOGGER.addHandler(handler)
    if not _LOGGER.isEnabledFor(logging.INFO):
        _LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level)


class _Handler(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say
        self._began = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        self._say(f"{time.monotonic() - self._began:5.1f} s  {record.getMessage()}")
