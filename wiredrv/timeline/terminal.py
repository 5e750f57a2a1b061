"""A timeline in the terminal: with colours on one, as plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from wiredrv.errors import ConfigurationError
from wiredrv.timeline.records import Header, Record
from wiredrv.timeline.view import Filter, lines

_STYLES = {"heading": "bold", "error": "red", "good": "green", "mark": "cyan", "": ""}
#: The width where there is no terminal.
_PIPED_WIDTH = 110
#: Lines that are printed at once.
_BATCH = 500


def show(header: Header, records: Sequence[Record], chosen: Filter | None = None) -> None:
    """Print a timeline.

    :param chosen: what of it is shown.
    :raises ConfigurationError: rich is not installed.
    """
    try:
        from rich.console import Console
        from rich.text import Text
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "showing a timeline needs the package rich: install it with `pip install 'wiredrv[cli]'`"
        ) from error
    console = Console(highlight=False)
    width = console.width if console.is_terminal else _PIPED_WIDTH
    plain = not (console.encoding or "").lower().startswith("utf")
    # What servers and programs sent is shown, not obeyed.
    made = [
        line._replace(text=_printable(line.text))
        for line in lines(header, records, chosen or Filter(), width, plain=plain)
    ]
    if not console.is_terminal:
        encoding = sys.stdout.encoding or "utf-8"
        for line in made:
            sys.stdout.write(line.text.encode(encoding, "replace").decode(encoding) + "\n")
        return
    for start in range(0, len(made), _BATCH):
        text = Text("\n").join(Text(line.text, _STYLES[line.style]) for line in made[start : start + _BATCH])
        console.print(text, no_wrap=True, crop=False, overflow="ignore")


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
