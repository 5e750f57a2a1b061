"""Predicates about a difference, from which the patterns are built. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.differential.calls import Call
from tests.differential.outcomes import Difference, Failed, Returned

#: How Python, PyMongo and its helpers reject an argument.
REFUSALS = frozenset(
    {
        "AssertionError",
        "AttributeError",
        "CollectionInvalid",
        "ConfigurationError",
        "IndexError",
        "InvalidDocument",
        "InvalidName",
        "InvalidOperation",
        "InvalidStringData",
        "KeyError",
        "OSError",
        "OverflowError",
        "RuntimeError",
        "SystemError",
        "TypeError",
        "UnboundLocalError",
        "UnicodeEncodeError",
        "ValueError",
    }
)
SERVER_REFUSALS = frozenset(
    {
        "OperationFailure",
        "WriteError",
        "BulkWriteError",
        "ExecutionTimeout",
        "WriteConcernError",
        "WTimeoutError",
        "DuplicateKeyError",
        "CollectionInvalid",
        "FileExists",
        "NoFile",
    }
)
#: This driver's refusals of an argument.
OUR_REFUSALS = ("ConfigurationError", "UnknownOption", "InvalidName")
#: An exhausted cursor reports this by an error too.
END = ("StopAsyncIteration",)


def failed(outcome: Any, *kinds: str) -> bool:
    return isinstance(outcome, Failed) and (not kinds or outcome.kind in kinds)


def says(outcome: Any, pattern: str) -> bool:
    return isinstance(outcome, Failed) and re.search(pattern, outcome.message) is not None


def sent_nothing(difference: Difference) -> bool:
    return difference.our_record is not None and not difference.our_record.commands


def they_sent_nothing(difference: Difference) -> bool:
    return difference.their_record is not None and not difference.their_record.commands


def arguments(difference: Difference) -> Iterator[tuple[str | int, Any]]:
    """The arguments of the call, by position or name, including those of its chain."""
    step = difference.our_record.step if difference.our_record else None
    if isinstance(step, Call):
        yield from enumerate(step.args)
        yield from step.options
        for _, args, options in step.chain:
            yield from enumerate(args)
            yield from options


def refused(difference: Difference, pattern: str) -> bool:
    """We refuse with a message that matches and send nothing; PyMongo accepts it, or lets the server refuse it."""
    if difference.what != "outcome" or not sent_nothing(difference):
        return False
    late = failed(difference.theirs, *REFUSALS) and not they_sent_nothing(difference)
    theirs = late or isinstance(difference.theirs, Returned) or failed(difference.theirs, *SERVER_REFUSALS, *END)
    return theirs and failed(difference.ours, *OUR_REFUSALS) and says(difference.ours, pattern)


def accepted(difference: Difference, pattern: str) -> bool:
    """PyMongo refuses with a message that matches and sends nothing; we accept it, or let the server decide."""
    if difference.what != "outcome" or not they_sent_nothing(difference):
        return False
    ours = isinstance(difference.ours, Returned) or failed(difference.ours, *SERVER_REFUSALS, *END)
    ours = ours or says(difference.ours, "^length must be")
    return ours and failed(difference.theirs, *REFUSALS) and says(difference.theirs, pattern)


def field(difference: Difference, pattern: str) -> bool:
    return difference.what == "field" and re.fullmatch(pattern, difference.place) is not None


def sent(difference: Difference, field: str) -> Any:
    """A field of the first command that we sent in the step."""
    commands = difference.our_record.commands if difference.our_record else ()
    return commands[0].get(field) if commands else None


def sent_the_same(difference: Difference) -> bool:
    theirs, ours = difference.their_record, difference.our_record
    return theirs is not None and ours is not None and theirs.names == ours.names
