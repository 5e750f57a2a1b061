"""Rows of the table: sessions and transactions."""

from __future__ import annotations

from collections.abc import Sequence

from tests.differential.calls import Block, Make
from tests.differential.conditions import (
    field,
    says,
    sent,
    sent_nothing,
)
from tests.differential.normal import MISSING
from tests.differential.outcomes import Difference, Failed, Returned
from tests.differential.row import Known
from tests.differential.short import (
    CLIENT,
    DATABASE,
    PEOPLE,
    SESSION,
    UNANSWERED,
    call,
    in_session,
    in_transaction,
    on_session,
)


def bind_ended(difference: Difference) -> bool:
    step = difference.our_record.step if difference.our_record else None
    if not (isinstance(step, Block) and step.kind == "bind"):
        return False
    never_entered = difference.what == "steps" and len(difference.ours) == 1
    return never_entered or says(difference.ours, "Cannot use ended session")


def command_reads_after(difference: Difference) -> bool:
    return (
        field(difference, r"\w+\.readConcern(\.afterClusterTime)?")
        and difference.method == "command"
        and difference.ours is MISSING
        and sent(difference, "startTransaction") is None
    )


#: The command with which PyMongo ends such a transaction, while wiredrv sends nothing.
_ENDINGS = (["abortTransaction"], ["commitTransaction"])
_NO_SUCH_TRANSACTION = "does not match any in-progress transactions"


def _began_here_alone(difference: Difference) -> bool:
    """Our statement began the transaction; theirs continued one that the server does not know, and failed."""
    theirs = difference.their_record
    if theirs is None or not theirs.commands or "startTransaction" in theirs.commands[0]:
        return False
    return says(theirs.outcome, _NO_SUCH_TRANSACTION) and sent(difference, "startTransaction") is True


def nothing_to_abort(difference: Difference) -> bool:
    """A transaction whose first statement was never sent: the server does not know it."""
    theirs = difference.their_record
    if _began_here_alone(difference):
        return True
    if difference.what == "steps":
        return theirs is not None and theirs.names in _ENDINGS and sent_nothing(difference)
    if field(difference, r"\w+\.startTransaction"):
        return difference.ours is True and theirs is not None and isinstance(theirs.outcome, Failed)
    if difference.what != "outcome":
        return difference.what == "commands" and difference.theirs in _ENDINGS and difference.ours == []
    if difference.method == "commit_transaction" and says(difference.theirs, "No transaction started"):
        return isinstance(difference.ours, Returned)
    unknown_there = says(difference.theirs, _NO_SUCH_TRANSACTION)
    if difference.method == "commit_transaction":
        # The server checks the write concern before it looks for the transaction.
        unknown_there = unknown_there or says(difference.theirs, "Not enough data-bearing nodes")
    return unknown_there and sent_nothing(difference) and isinstance(difference.ours, Returned)


def count_takes_no_session(difference: Difference) -> bool:
    """``estimated_document_count`` within ``bind()``."""
    if difference.method != "estimated_document_count":
        return False
    if difference.what == "outcome":
        # The session's time goes with some levels only.
        return says(difference.theirs, "afterClusterTime field can be set only if level")
    if not field(difference, r"count\.(lsid|readConcern)"):
        return False
    return difference.ours is MISSING or str(difference.theirs).startswith("session")


def bulk_leaves_its_session(difference: Difference) -> bool:
    bulk = difference.method in ("insert_many", "bulk_write") and isinstance(difference.theirs, Returned)
    return bulk and says(difference.ours, "^an explicit session cannot be used with an unacknowledged write concern")


def preference_of_transaction(difference: Difference) -> bool:
    """A command in a transaction with a read preference other than primary."""
    refused = says(difference.ours, "read preference in a transaction must be primary")
    return difference.what == "outcome" and refused and sent_nothing(difference)


SESSIONS: Sequence[Known] = (
    Known(
        "bind-ended",
        "`bind()` of an ended session fails with the first operation in it",
        "`bind()` fails",
        "the error comes where the mistake is",
        bind_ended,
        ends=True,
        example=in_session(on_session("end_session"), Block("bind", 1, (call(PEOPLE, "find_one"),))),
    ),
    Known(
        "nothing-to-abort",
        "a first statement that could not be encoded starts its transaction all the same: the next one is refused "
        "by the server, or an abort is sent",
        "the next statement begins the transaction; without one, nothing is sent",
        "the server knows of no transaction",
        nothing_to_abort,
        ends=True,
        example=in_transaction(
            call(PEOPLE, "insert_one", {"x": 2**64}, session=SESSION), call(PEOPLE, "find_one", session=SESSION)
        ),
    ),
    Known(
        "preference-of-transaction",
        "some commands ignore the read preference of their transaction",
        "one other than primary is refused, for each command",
        "transactions specification: the read preference of a transaction must be primary",
        preference_of_transaction,
        ends=True,
        example=in_transaction(
            call(CLIENT, "server_info", session=SESSION), read_preference=Make("ReadPreference", ("NEAREST",))
        ),
    ),
    Known(
        "command-read-concern",
        "`command` adds `afterClusterTime` to writes in a causally consistent session",
        "it adds it to nothing that is sent as given",
        "run-command specification: no read concern is added",
        command_reads_after,
        example=in_session(
            call(PEOPLE, "find_one", session=SESSION),
            call(DATABASE, "command", {"insert": "empty", "documents": [{"_id": 1}]}, session=SESSION),
        ),
    ),
    Known(
        "unacknowledged-in-a-binding",
        "`insert_many` and `bulk_write` with `w=0` ignore the bound session",
        "an error, as with `session=`, and as with the other writes",
        "sessions specification: there are no unacknowledged writes in an explicit session",
        bulk_leaves_its_session,
        ends=True,
        example=in_session(Block("bind", 1, (call(UNANSWERED, "insert_many", [{"n": 1}]),))),
    ),
    Known(
        "estimated-count-session",
        "`estimated_document_count` takes the bound session",
        "it never takes one",
        "CRUD specification: it takes no session, and is refused in transactions",
        count_takes_no_session,
        ends=True,
        example=in_session(Block("bind", 1, (call(PEOPLE, "estimated_document_count"),))),
    ),
)
