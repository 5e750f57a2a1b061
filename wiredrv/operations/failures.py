"""Failures in an ``ok: 1`` reply of a write, and options that the driver refuses before a write is sent."""

from __future__ import annotations

from typing import NoReturn

from wiredrv.errors import ConfigurationError
from wiredrv.operations.base import Limits, Target
from wiredrv.server_errors import write_concern_error, write_error
from wiredrv.server_facts import SERVER_4_4, SERVER_8_0
from wiredrv.types import Document, Reply


def raise_write_failure(reply: Reply) -> NoReturn:
    """Raise the failure of a write with one statement; a write error takes precedence over a write concern error.

    :raises WriteError: the statement failed.
    :raises WriteConcernError: it was applied, but not acknowledged as asked.
    """
    write_errors = reply.get("writeErrors")
    if write_errors:
        raise write_error(dict(write_errors[0]), reply)
    raise write_concern_error(dict(reply["writeConcernError"]), reply)


def raise_concern_failure(reply: Reply) -> None:
    """Raise the write concern error of a command other than insert, update and delete, if there is one."""
    entry = reply.get("writeConcernError")
    if entry is not None:
        raise write_concern_error(dict(entry), reply)


def check_hint(options: Document, target: Target, limits: Limits) -> None:
    """Refuse a hint that a server before 4.4 would silently ignore (CRUD specification, ``hint``).

    :raises ConfigurationError: there is a hint, the write is unacknowledged, and the server is older than 4.4.
    """
    if "hint" in options and limits.max_wire_version < SERVER_4_4 and not target.write_concern.acknowledged:
        raise ConfigurationError(
            "a hint on an unacknowledged write needs server 4.4 or later: write with w=1 or more, or leave it out"
        )


def check_statement(statement: Document, target: Target, limits: Limits) -> None:
    """Refuse what the server would refuse in an update or a delete that it does not answer.

    Otherwise the caller would assume that the write succeeded. CRUD specification, "Why are client-side errors raised
    for some unsupported options?".

    :raises ConfigurationError: the write is unacknowledged, and the server is too old for an option of it.
    """
    if "hint" in statement:
        check_hint(statement, target, limits)
    if "sort" in statement and limits.max_wire_version < SERVER_8_0 and not target.write_concern.acknowledged:
        raise ConfigurationError(
            "a sort on an unacknowledged update needs server 8.0 or later: write with w=1 or more, or leave it out"
        )
