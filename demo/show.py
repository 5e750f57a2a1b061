"""What the demo prints: plain lines; on a terminal that has rich, colours and a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from demo.excerpts import Excerpt
from demo.timeline import lines
from demo.verdicts import Check, Verdict

_PLAIN_STEPS = 4


class Progress:
    """How far a part is. Plain: a line for each quarter."""

    def __init__(self, show: Show, what: str, total: int) -> None:
        self._show = show
        self._what = what
        self._total = total
        self._told = 0

    def update(self, done: int) -> None:
        """Report how many are done."""
        step = done * _PLAIN_STEPS // self._total
        if step > self._told:
            self._told = step
            self._show.line(f"{done:,} of {self._total:,} {self._what}")


class Show:
    """Plain lines on standard output. ``width`` is how long a line of the timeline may be; None means no limit."""

    width: int | None = None

    def heading(self, text: str) -> None:
        """A part begins."""
        self.write(f"\n=== {text} ===")

    def line(self, text: str) -> None:
        """Something worth knowing."""
        self.write(f"  {text}")

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Progress]:
        """Something that takes a while: ``total`` of ``what``."""
        yield Progress(self, what, total)

    def excerpt(self, excerpt: Excerpt) -> None:
        """A few commands of the timeline."""
        self.write(f"\n  {excerpt.title}:")
        if not excerpt.entries:
            self.write("  (none was seen this time)")
            return
        for line in lines(excerpt.entries, self.width):
            self.write(f"  {line}")
        if excerpt.left_out:
            self.write(f"  ... and {excerpt.left_out}")

    def verdict(self, verdict: Verdict) -> None:
        """Every check of a part."""
        self.write("")
        for check in verdict.checks:
            self.check(check)

    def check(self, check: Check) -> None:
        """One check."""
        self.write(f"  [ok]     {check.says}" if check.holds else f"  [FAILED] {check.says} -- {check.detail}")

    def write(self, text: str) -> None:
        """Write one line and flush it, so that a reader of a pipe sees it immediately."""
        print(text, flush=True)
