"""The options that PyMongo's methods take by position, after the arguments that have a place of their own. Pure.

Methods take them as ``*more``, and :func:`by_position` gives them their names; by their names they are keywords. The
orders are PyMongo's, which a test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from wiredrv.errors import ConfigurationError, UnknownOption
from wiredrv.types import Document, PlainDocument

#: The options of a method: a TypedDict.
OptionsT = TypeVar("OptionsT")
#: A session, or None.
SessionT = TypeVar("SessionT")

COMMENT = ("comment",)
INSERT = ("bypass_document_validation", "session", "comment")
BULK_WRITE = (*INSERT, "let")
UPDATE_ONE = (
    "bypass_document_validation",
    "collation",
    "array_filters",
    "hint",
    "session",
    "let",
    "sort",
    "comment",
)
UPDATE_MANY = ("array_filters", "bypass_document_validation", "collation", "hint", "session", "let", "comment")
REPLACE_ONE = ("bypass_document_validation", "collation", "hint", "session", "let", "sort", "comment")
DELETE = ("collation", "hint", "session", "let", "comment")
FIND_AND_DELETE = ("projection", "sort", "hint", "session", "let", "comment")
FIND_AND_REPLACE = ("projection", "sort", "upsert", "return_document", "hint", "session", "let", "comment")
FIND_AND_UPDATE = (
    "projection",
    "sort",
    "upsert",
    "return_document",
    "array_filters",
    "hint",
    "session",
    "let",
    "comment",
)
AGGREGATE = ("let", "comment")
DISTINCT = ("comment", "hint")
WATCH = (
    "resume_after",
    "max_await_time_ms",
    "batch_size",
    "collation",
    "start_at_operation_time",
    "session",
    "start_after",
    "comment",
    "full_document_before_change",
    "show_expanded_events",
)
#: Two of them are gone from servers, and are refused if they are given.
FIND = (
    "skip",
    "limit",
    "no_cursor_timeout",
    "cursor_type",
    "sort",
    "allow_partial_results",
    "oplog_replay",
    "batch_size",
    "collation",
    "hint",
    "max_scan",
    "max_time_ms",
    "max",
    "min",
    "return_key",
    "show_record_id",
    "snapshot",
    "comment",
    "session",
    "allow_disk_use",
    "let",
)


def by_position(
    method: Callable[..., object],
    order: Sequence[str],
    more: Sequence[object],
    session: SessionT,
    options: OptionsT,
) -> tuple[SessionT, OptionsT]:
    """The session and the options of a call, with those that were given by position.

    :param order: the names of ``more``, in their order. A value that is None counts as not given.
    :raises UnknownOption: there are more than the order has.
    :raises ConfigurationError: one is given by its name too.
    """
    if len(more) > len(order):
        raise UnknownOption(
            f"{method.__name__} takes {len(order)} options by position, {', '.join(order)}, and {len(more)} are given"
        )
    given: PlainDocument = {**cast(Document, options), "session": session}
    for name, value in zip(order, more, strict=False):
        if given.get(name) is not None:
            raise ConfigurationError(f"{name!r} is given by position and by its name: give it once")
        if value is not None:
            given[name] = value
    return given.pop("session"), cast(OptionsT, given)
