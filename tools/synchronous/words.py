"""The docstrings of the synchronous classes: those of the asynchronous ones with other words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: How long a line may be.
_WIDTH = 120

#: How the words of the docstrings change; in this order.
WORDS: Sequence[tuple[str, str]] = (
    (r", if it is new or its event loop is\n    closed\. ", ", if it is new. "),
    (r"It can be open in one event loop at a time\.", "Any number of threads may use it at a time."),
    (r"opens it again, also in another event\n    loop\.", "opens it again."),
    (r"the client is open in another event loop\.", "the client was closed meanwhile."),
    (r"Await it: t", "T"),
    (r"Await it: w", "W"),
    (r"\n\n        ``topology\.primary`` is the same without ``await``\.", ""),
    (r"\n    :param io_loop:(.|\n)*?(?=\n    :)", ""),
    (r"\n        :param coro:(.|\n)*?(?=\n        :)", ""),
    (r"for code that was written for PyMongo\. It has no effect", "it has no effect"),
    (r"``async with client\.start_session\(\)``", "``with client.start_session()``"),
    (r"wiredrv\.Client\(", "wiredrv.sync.Client("),
    (r"\basync (with|for|def)\b", r"\1"),
    (r" Nothing is sent; ``await client\.start_session\(\)`` returns the same\.", " Nothing is sent."),
    (r"\n\n    ``await client\.start_session\(\)`` works too: awaiting a session returns the session\.", ""),
    (r"; with ``await`` the command is sent immediately, else when iterated\.", ". The command is sent immediately."),
    (r" must be awaited or iterated to take effect\. It", ""),
    (r", with or without ``await``", ""),
    (r"sends nothing until a method is awaited", "sends nothing until a method is called"),
    (
        r"``with`` and ``await`` open the stream; otherwise the first call that asks for an event does\.",
        "The stream is open when this returns.",
    ),
    (
        r"``with`` and ``await`` open the stream, and it reports what is changed from then on; otherwise the first\n"
        r"    call that asks for an event opens it\.",
        "It is open from the beginning, and reports what is changed from then on.",
    ),
    (
        r"(Find a file.*, and open a stream to read it from): with ``await``, or with ``with``(, which closes it)?\.",
        r"\1. ``with`` closes it.",
    ),
    (r"the stream, once it is awaited or entered; that is also when the file is looked for\.", "the stream."),
    (r"an asynchronous function that takes the session", "a function that takes the session"),
    (
        r"a plain function without arguments; a coroutine function is refused, since it would never be\n"
        r"            awaited\.",
        "a function without arguments.",
    ),
    (r"``read\(\)``, synchronous or not; or an asynchronous iterator of bytes", "``read()``"),
    (r"``write\(\)``, synchronous or not, or a stream with ``send\(\)``", "``write()``"),
    (r"an asynchronous iterator", "an iterator"),
    (r"\bawait ", ""),
    (r"StopAsyncIteration", "StopIteration"),
    (r"exception or a cancellation", "exception"),
    (r"\bA child task that inherits\b", "A thread with a copy of the context, which inherits"),
    (r"is refused, unless ``inherit`` is True", "is refused, unless ``inherit`` is True"),
    (r"an endpoint in a child task of the middleware", "an endpoint in another thread than the middleware"),
    (r"\btasks\b", "threads"),
    (r"\btask\b", "thread"),
)


def reworded(text: str) -> str:
    """A docstring of the synchronous face."""
    for pattern, words in WORDS:
        text = re.sub(pattern, words, text)
    return "\n".join(refilled(text.split("\n")))


def refilled(lines: list[str]) -> Iterator[str]:
    """The lines of a docstring, with the end of a line that is too long moved to the next one."""
    usual = min((_indent(line) for line in lines[1:] if line.strip()), key=len, default="")
    indent, rest = "", ""
    for number, line in enumerate(lines):
        if rest and line.strip() and not line.strip().startswith((":", "*")) and _indent(line) == indent:
            line = f"{indent}{rest} {line.strip()}"
        elif rest:
            yield f"{indent}{rest}"
        rest = ""
        # The first line begins after the quotation marks.
        width = _WIDTH if number else _WIDTH - len(usual) - (3 if len(lines) > 1 else 14)
        if len(line) > width:
            end = line.rindex(" ", 0, width + 1)
            indent = (_indent(line) + ("    " if line.strip().startswith(":") else "")) if number else usual
            rest, line = line[end + 1 :], line[:end]
        yield line
    if rest:
        yield f"{indent}{rest}"


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
