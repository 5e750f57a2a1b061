"""The demo's output on a terminal. Imports rich, so it is imported only where it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from demo.excerpts import Excerpt
from demo.show import Progress, Show
from demo.verdicts import Check

_INDENT = 2
_REDRAW_EVERY = 0.1  # seconds


class _Bar(Progress):
    """Redraws when it is updated, but not too often: rich's own refresh thread would compete with the demo."""

    def __init__(self, show: Show, what: str, total: int, bar: RichProgress, task: TaskID) -> None:
        super().__init__(show, what, total)
        self._bar = bar
        self._task = task
        self._drawn = 0.0

    def update(self, done: int) -> None:
        self._bar.update(self._task, completed=done)
        if monotonic() - self._drawn >= _REDRAW_EVERY:
            self._drawn = monotonic()
            self._bar.refresh()


class RichShow(Show):
    """Colours and a bar."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{escape(text)}", align="left")

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Progress]:
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with RichProgress(*columns, console=self._console, auto_refresh=False) as bar:
            yield _Bar(self, what, total, bar, bar.add_task(what, total=total))
            bar.refresh()

    def excerpt(self, excerpt: Excerpt) -> None:
        self.width = self._console.width - _INDENT
        super().excerpt(excerpt)

    def check(self, check: Check) -> None:
        mark = "[green]✔[/]" if check.holds else "[bold red]✘ FAILED[/]"
        detail = "" if check.holds else f" -- {escape(check.detail)}"
        self._console.print(f"  {mark} {escape(check.says)}{detail}")

    def write(self, text: str) -> None:
        failed = text.startswith(" ") and "failed: " in text
        self._console.print(text, markup=False, style="red" if failed else None)
