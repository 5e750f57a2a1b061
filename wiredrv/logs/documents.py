"""Documents as they stand in log messages: relaxed Extended JSON, cut off at a length. Pure.

Rules kept here (logging specification, "Representing Documents in Log Messages", "Configurable Max Document Length"):

* The length counts code points; the ``...`` after a cut does not count.
* The work is bounded by that length too: of a large or deep document no more is converted than is shown.
* A document that cannot be decoded does not lose the message. Replies are raw where users have codec options.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bson import json_util
from bson.binary import UuidRepresentation
from bson.errors import BSONError

from wiredrv.types import Document, PlainDocument

DEFAULT_MAX_LENGTH = 1000

_VARIABLE = "MONGODB_LOG_MAX_DOCUMENT_LENGTH"
#: Relaxed Extended JSON.
OPTIONS = json_util.RELAXED_JSON_OPTIONS.with_options(uuid_representation=UuidRepresentation.STANDARD)


def max_length(environment: Mapping[str, str]) -> int:
    """The maximum length of a document in a message. An invalid value is ignored."""
    text = environment.get(_VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() else DEFAULT_MAX_LENGTH


def to_text(document: Document, limit: int) -> str:
    """A document in relaxed Extended JSON, cut off after ``limit`` characters."""
    beginning, _ = _beginning(document, limit, -limit)
    # A command may hold types that only the user's codec knows.
    text = json_util.dumps(beginning, json_options=OPTIONS, default=repr)
    return text if len(text) <= limit else f"{text[:limit]}..."


def _beginning(value: Any, left: int, least: int) -> tuple[Any, int]:
    """Cut a value; its text stays longer than ``left`` if that of the whole is. Return it and what is left of ``left``.

    Every length is estimated from below, so that the result may be too long, never too short. Only closing brackets are
    counted early, at most as many as there are other characters: so nesting ends where ``left`` is below ``least``.
    """
    if type(value) is str:  # code is a string too, and is written otherwise
        return value[: max(left, 0) + 1], left - len(value) - 2
    if isinstance(value, (bytes, bytearray)):
        # One more than fits; base64 is longer than what it encodes.
        return (value if len(value) <= left else value[: max(left, 0) + 1]), left - len(value)
    if isinstance(value, (Mapping, list, tuple)) and left < least:
        return {}, left
    if isinstance(value, Mapping):
        try:
            items = value.items()
        except (BSONError, ValueError, OverflowError, RecursionError) as error:
            return f"(cannot be decoded: {error})", left - 1
        return _beginning_of_document(items, left, least)
    if isinstance(value, (list, tuple)):
        return _beginning_of_array(value, left, least)
    return value, left - 1


def _beginning_of_document(items: Iterable[tuple[str, Any]], left: int, least: int) -> tuple[Any, int]:
    kept: PlainDocument = {}
    left -= 2
    for name, value in items:
        kept[name], left = _beginning(value, left - len(name) - 4, least)
        if left < 0:
            break
    return kept, left


def _beginning_of_array(values: Iterable[Any], left: int, least: int) -> tuple[Any, int]:
    kept: list[Any] = []
    left -= 2
    for value in values:
        shortened, left = _beginning(value, left, least)
        kept.append(shortened)
        if left < 0:
            break
    return kept, left
