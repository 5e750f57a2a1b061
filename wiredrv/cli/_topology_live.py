"""The live view of ``wiredrv topology --watch``. Imports rich, so it is imported only where it is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from wiredrv.cli._topology_show import COLUMNS, Watcher, heading, rows
from wiredrv.description import TopologyDescription
from wiredrv.types import Address

_LINES_SHOWN = 10


class LiveWatcher(Watcher):
    """A table that is redrawn, and the last changes below it."""

    redraws = True

    def __init__(self) -> None:
        super().__init__()
        self._live = Live(auto_refresh=False)
        self._lines: deque[str] = deque(maxlen=_LINES_SHOWN)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def draw(self, description: TopologyDescription, versions: Mapping[Address, str]) -> None:
        super().draw(description, versions)
        drawn = Table(*COLUMNS, title=escape(heading(description)), title_justify="left")
        for found in rows(description, versions):
            drawn.add_row(*map(escape, found))
        self._live.update(Group(drawn, *map(Text, self._lines)), refresh=True)

    def begin(self, description: TopologyDescription, versions: Mapping[Address, str]) -> None:
        """The table shows it."""

    def tell(self, line: str) -> None:
        self._lines.append(line)
