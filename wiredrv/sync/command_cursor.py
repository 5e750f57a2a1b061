"""Cursors of commands other than find: one object that works with and without ``await``.

Written by ``python -m tools.synchronous`` from ``wiredrv.client.cursors.command_cursor``: do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from wiredrv.sync.cursor_base import CursorBase
from wiredrv.types import DocumentT_co

if TYPE_CHECKING:
    from wiredrv.client.cursors.command_cursor import CommandCursor as AsyncCommandCursor


class CommandCursor(CursorBase[DocumentT_co]):
    """The documents that a command answers with. Specifications: find_getmore_killcursors_commands, run-command."""

    __slots__ = ()

    _inner: AsyncCommandCursor[DocumentT_co]

    def batch_size(self, batch_size: int) -> Self:
        """Request this many documents with each getMore from now on; 0 leaves it to the server.

        :param batch_size: how many documents.
        :returns: this cursor.
        :raises ConfigurationError: it is not a whole number from 0 up.
        """
        self._inner.batch_size(batch_size)
        return self
