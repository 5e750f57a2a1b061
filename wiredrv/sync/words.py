"""The words of errors that advise: ``with`` and threads, where the asynchronous face has ``async with`` and tasks.

Only errors that the driver raises for a mistake in the program are reworded; what a server says is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wiredrv.errors import ConfigurationError, InvalidOperation

#: The errors for a mistake in the program.
_ADVICE = (InvalidOperation, ConfigurationError, TypeError)

#: In this order: what is found in a message, and what it becomes.
_WORDS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\basync (with|for)\b", r"\1"),
        (r"`await ", "`"),
        (r"\bawait each statement before the commit\b", "let each statement end before the commit"),
        (r"\bor await one operation before the next\b", "or let one operation end before the next"),
        (r"\bawait the end of\b", "wait for the end of"),
        (r"\bawait the session's operations\b", "wait for the session's operations"),
        (r"\bin an event loop that is closed\b", "by a client that was closed"),
        (r", its event loop ended,", ""),
        (r"\btasks\b", "threads"),
        (r"\btask\b", "thread"),
    )
)


def reworded(message: str) -> str:
    """A message in the words of the synchronous face."""
    for pattern, words in _WORDS:
        message = pattern.sub(words, message)
    return message


def reword(error: Exception) -> None:
    """Put the message of an error into the words of the synchronous face, if it is one that advises."""
    if isinstance(error, _ADVICE) and error.args and isinstance(error.args[0], str):
        error.args = (reworded(error.args[0]), *error.args[1:])
