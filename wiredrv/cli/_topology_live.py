"""The live view of ``wiredrv topology --watch``. Imports rich, so it is imported only where it is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Self

from rich.box import HEAVY_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from wiredrv.cli._topology_show import COLUMNS, Watcher, heading, rows
from wiredrv.description import TopologyDescription
from wiredrv.types import Address

_LINES_SHOWN = 10
#: Where a terminal has fewer columns, the table has only the server, its role and its round-trip time.
_WIDE = 72
_NARROW_COLUMNS = 3


class LiveWatcher(Watcher):
    """A table that is redrawn, and the last changes below it."""

    redraws = True

    def __init__(self) -> None:
        super().__init__()
        self._live = Live(console=Console(), auto_refresh=False)
        self._lines: deque[str] = deque(maxlen=_LINES_SHOWN)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def draw(self, description: TopologyDescription, versions: Mapping[Address, str]) -> None:
        super().draw(description, versions)
        columns = len(COLUMNS) if self._live.console.width >= _WIDE else _NARROW_COLUMNS
        drawn = Table(
            title=escape(heading(description)),
            title_justify="left",
            box=HEAVY_HEAD if columns > _NARROW_COLUMNS else None,
        )
        for name in COLUMNS[:columns]:
            drawn.add_column(name, overflow="fold")
        for found in rows(description, versions):
            drawn.add_row(*map(escape, found[:columns]))
        self._live.update(Group(drawn, *self._last_lines(drawn)), refresh=True)

    def _last_lines(self, drawn: Table) -> list[Text]:
        """The last changes, as many as fit below the table."""
        console = self._live.console
        room = console.height - 1 - len(console.render_lines(drawn, pad=False))
        shown: list[Text] = []
        for line in map(Text, reversed(self._lines)):
            room -= len(line.wrap(console, console.width))
            if room < 0:
                break
            shown.insert(0, line)
        return shown

    def begin(self, description: TopologyDescription, versions: Mapping[Address, str]) -> None:
        """The table shows it."""

    def tell(self, line: str) -> None:
        self._lines.append(line)
