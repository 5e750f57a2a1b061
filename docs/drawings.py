"""Draws lifelines: a column for each participant or state, and the arrows between them, one below the other.

The result is a standalone SVG with a light background of its own, without scripts or external resources, so that a page
shows it offline. Every arrow has a title, for screen readers and for tests.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

_CHARACTER = 6.9  # the width of an average one at the font size below; labels get a little extra room
_LINE, _MARGIN = 15, 14
_LOOP = 26

_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1b2a2f;stroke:#fff;stroke-width:4px;paint-order:stroke}"
    ".name{stroke:none}"
    ".box{fill:#e0f2f1;stroke:#00796b}.life{stroke:#90a4ae;stroke-dasharray:3 4}"
    ".arrow{stroke:#00695c;stroke-width:1.5;fill:none;marker-end:url(#head)}"
    ".dashed{stroke-dasharray:6 4}"
)

_ARROW_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#00695c"/></marker></defs>'
)


class Arrow(NamedTuple):
    """From one column to another, or back to the same. ``dashed``: an answer."""

    source: str
    target: str
    label: str
    dashed: bool = False


def lifelines(title: str, columns: Sequence[str], arrows: Sequence[Arrow], wrap: int = 40) -> str:
    """The drawing as a file's text. The columns keep their order and get the room that their labels need.

    :param wrap: characters after which a label continues on the next line.
    """
    texts = [_Text.of(arrow.label, wrap) for arrow in arrows]
    heads = {name: _Text.of(name, wrap) for name in columns}
    places = _places(heads, list(zip(arrows, texts, strict=True)))
    below = _MARGIN + _LINE * max(len(head.lines) for head in heads.values()) + 18
    rows: list[str] = []
    y = below
    for arrow, text in zip(arrows, texts, strict=True):
        y += 17 + _LINE * len(text.lines)
        rows.append(_arrow(arrow, text, places, y))
    edges = [
        max(places[a.source], places[a.target]) + text.loop_width(a) for a, text in zip(arrows, texts, strict=True)
    ]
    width = round(max(*edges, places[columns[-1]] + heads[columns[-1]].width / 2) + _MARGIN)
    height = y + 2 * _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            _ARROW_HEAD,
            f'<rect width="{width}" height="{height}" rx="6" fill="#fff"/>',
            *(_column(head, places[name], below, height) for name, head in heads.items()),
            *rows,
            "</svg>\n",
        ]
    )


class _Text(NamedTuple):
    """A label or a name, in lines; the width has a little room on either side."""

    lines: Sequence[str]
    width: float

    @classmethod
    def of(cls, text: str, wrap: int) -> _Text:
        lines = textwrap.wrap(text, wrap)
        return cls(lines, max(len(line) for line in lines) * _CHARACTER + 16)

    def loop_width(self, arrow: Arrow) -> float:
        """The room that a loop's label needs on the right; labels of other arrows are between their columns."""
        return _LOOP + self.width if arrow.source == arrow.target else 0

    def draw(self, x: float, last: float, anchor: str, style: str = "") -> str:
        """Draw the lines above each other, the last at ``last``."""
        first = last - _LINE * (len(self.lines) - 1)
        return "".join(
            f'<text{style} x="{x:.0f}" y="{first + _LINE * index:.0f}" text-anchor="{anchor}">{escape(line)}</text>'
            for index, line in enumerate(self.lines)
        )


def _places(heads: Mapping[str, _Text], arrows: Sequence[tuple[Arrow, _Text]]) -> dict[str, float]:
    """The position of each column's line: as far to the left as boxes and labels allow."""
    order = {name: index for index, name in enumerate(heads)}
    names = list(heads)
    places: dict[str, float] = {}
    for index, name in enumerate(names):
        here = _MARGIN + heads[name].width / 2
        if index:
            before = names[index - 1]
            here = max(here, places[before] + (heads[before].width + heads[name].width) / 2 + 10)
        for arrow, text in arrows:
            first, last = sorted((order[arrow.source], order[arrow.target]))
            ends_here = first < last == index
            loops_before = first == last == index - 1
            if ends_here or loops_before:
                here = max(here, places[names[first]] + (text.loop_width(arrow) or text.width + 8))
        places[name] = here
    return places


def _column(head: _Text, x: float, below: float, height: float) -> str:
    box = below - _MARGIN
    return (
        f'<line class="life" x1="{x:.0f}" y1="{below}" x2="{x:.0f}" y2="{height - 4}"/>'
        f'<rect class="box" x="{x - head.width / 2:.0f}" y="{_MARGIN}" width="{head.width:.0f}" height="{box}" rx="5"/>'
        + head.draw(x, (_MARGIN + below + _LINE * len(head.lines)) / 2 - 4, "middle", ' class="name"')
    )


def _arrow(arrow: Arrow, text: _Text, places: Mapping[str, float], y: float) -> str:
    source, target = places[arrow.source], places[arrow.target]
    style = "arrow dashed" if arrow.dashed else "arrow"
    if arrow.source == arrow.target:
        path = f"M{source:.0f} {y - 13:.0f}h{_LOOP - 8}v12h-{_LOOP - 9}"
        label = text.draw(source + _LOOP, y - 3, "start")
    else:
        path = f"M{source:.0f} {y:.0f}H{target - 1 if source < target else target + 1:.0f}"
        # Beside the arrow's beginning, so that a long arrow's label is where readers expect it.
        anchor, shift = ("start", 8) if source < target else ("end", -8)
        label = text.draw(source + shift, y - 6, anchor)
    name = escape(f"{arrow.source} → {arrow.target}: {arrow.label}")
    return f'<g><title>{name}</title>{label}<path class="{style}" d="{path}"/></g>'
