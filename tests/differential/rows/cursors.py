"""Rows of the table: cursors: what is read, and how they are closed."""

from __future__ import annotations

from collections.abc import Sequence

from tests.differential.calls import Call, Get
from tests.differential.conditions import (
    accepted,
    failed,
    field,
    says,
    sent,
    sent_nothing,
)
from tests.differential.normal import MISSING
from tests.differential.outcomes import Difference, Returned
from tests.differential.row import Known
from tests.differential.short import (
    CAPPED,
    CURSOR,
    DATABASE,
    IGNORE,
    KEEP,
    LIST,
    MANY,
    PEOPLE,
    SESSION,
    call,
    chained,
    in_session,
    on_session,
)


def batch_of_one(difference: Difference) -> bool:
    if difference.what == "commands":
        sent = difference.our_record.commands if difference.our_record else ()
        ones = all(command.get("batchSize") == 1 for command in sent if "getMore" in command)
        others = [[name for name in names if name != "getMore"] for names in (difference.theirs, difference.ours)]
        return ones and others[0] == others[1] and difference.theirs != difference.ours
    return field(difference, r"getMore\.batchSize") and (difference.theirs, difference.ours) == (2, 1)


def first_raw_batch(difference: Difference) -> bool:
    step = difference.our_record.step if difference.our_record else None
    if not isinstance(step, Call) or step.method != "aggregate_raw_batches":
        return False
    # Their second batch has no limit of documents, our first one has that of the server.
    first = difference.what == "result" and step.take.how == "next"
    return first or (field(difference, r"aggregate\.cursor\.batchSize") and difference.theirs == 0)


def single_batch(difference: Difference) -> bool:
    return field(difference, r"find\.batchSize") and sent(difference, "singleBatch") is True


def close_drops(difference: Difference) -> bool:
    step = difference.our_record.step if difference.our_record else None
    if isinstance(step, Get) and step.attribute == "alive":
        return difference.theirs is True and difference.ours is False
    if isinstance(step, Get) and difference.theirs is None:
        return step.attribute == "cursor_id" and difference.ours == 0  # it failed
    if isinstance(step, Get):
        closed = step.attribute == "cursor_id" and difference.what == "result"
        return closed and difference.ours == 0 and isinstance(difference.theirs, str)
    if not (isinstance(step, Call) and step.target.kind == "cursor" and sent_nothing(difference)):
        return False
    if step.method not in ("next", "to_list", "try_next"):
        return isinstance(difference.theirs, Returned) and says(difference.ours, "before the first document")
    if difference.what == "outcome":
        return isinstance(difference.theirs, Returned) and failed(difference.ours, "StopAsyncIteration")
    return difference.what == "result" and difference.ours in ([], None) and bool(difference.theirs)


def closed_in_session(difference: Difference) -> bool:
    place = difference.place.rpartition(".")[2]
    if difference.what != "closing":
        return False
    if place == "lsid":
        return difference.theirs is MISSING
    return place in ("readConcern", "startTransaction", "txnNumber", "autocommit") and difference.ours is MISSING


def hint_of_distinct(difference: Difference) -> bool:
    step = difference.our_record.step if difference.our_record else None
    return (
        isinstance(step, Call)
        and [name for name, _, _ in step.chain][-1:] == ["distinct"]
        and (sent(difference, "hint") is not None)
    )


def let_of_find(difference: Difference) -> bool:
    """The options that a find cursor passes on when it is cloned or explained."""
    step = difference.our_record.step if difference.our_record else None
    if not isinstance(step, Call):
        return False
    chained = {name for name, _, _ in step.chain}
    if "explain" in chained and says(difference.theirs, "Option singleBatch not supported"):
        return True
    if "explain" in chained and (
        field(difference, r"explain\.(explain\..*|maxTimeMS)") or "cursor_type" in dict(step.options)
    ):
        return True
    return "let" in dict(step.options) and bool({"clone", "explain"} & chained)


def cursor_of_before(difference: Difference) -> bool:
    """A cursor that was opened before its session's transaction, or in a transaction that has ended."""
    refused = "opened before the transaction|opened in a transaction that has ended"
    return difference.what == "outcome" and says(difference.ours, refused)


def await_of_tailable(difference: Difference) -> bool:
    record = difference.their_record
    refused = record is not None and says(record.outcome, "cannot set maxTimeMS on getMore command for a non-awaitData")
    return refused or (field(difference, r"getMore\.maxTimeMS") and difference.ours is MISSING)


def no_cursor(difference: Difference) -> bool:
    """The reply to ``cursor_command`` contains no cursor."""
    there, here = difference.theirs, difference.ours
    return difference.what == "outcome" and says(there, "does not return a cursor") and says(here, "no cursor")


def getmore_concern(difference: Difference) -> bool:
    return field(difference, r"getMore\.readConcern") and difference.ours is MISSING


def cursor_of_ended_session(difference: Difference) -> bool:
    """A cursor that is read after its session has ended."""
    step = difference.our_record.step if difference.our_record else None
    on_cursor = isinstance(step, Call) and step.target.kind in ("cursor", "events")
    return difference.what == "outcome" and on_cursor and says(difference.ours, "Cannot use ended session")


def batch_size_later(difference: Difference) -> bool:
    """``batch_size`` of a cursor that has already been read."""
    return difference.method == "batch_size" and accepted(difference, "cannot set options after executing query")


def rewound(difference: Difference) -> bool:
    """How the cursor that was open before a rewind was closed."""
    in_session = str(difference.theirs).startswith("session") and str(difference.ours).startswith("implicit")
    return difference.what == "closing" and difference.place == "rewind.lsid" and in_session


CURSORS: Sequence[Known] = (
    Known(
        "batch-of-one",
        "a `batchSize` of 1 becomes 2 in the getMores of an aggregate",
        "it is sent as given",
        "it was a workaround for the old wire protocol",
        batch_of_one,
        ends=True,
        example=(call(MANY, "aggregate", [], take=LIST, batchSize=1),),
    ),
    Known(
        "first-raw-batch",
        "`aggregate_raw_batches` requests an empty first batch",
        "it requests the documents at once",
        "it saves a round trip",
        first_raw_batch,
        ends=True,
        example=(call(MANY, "aggregate_raw_batches", [{"$nope": 1}], take=LIST),),
    ),
    Known(
        "single-batch",
        "a negative limit is sent with the batch size that was given, or none",
        "its `batchSize` is the limit",
        "then the one batch is as large as the limit (find, getMore and killCursors specification)",
        single_batch,
        ends=True,
        example=(call(MANY, "find", take=LIST, limit=-3),),
    ),
    Known(
        "close-drops",
        "a cursor that was closed still hands out what it had fetched",
        "it ends",
        "closed means closed, and `cursor_id` is 0 then",
        close_drops,
        example=(
            call(MANY, "find", take=KEEP, batch_size=3),
            call(CURSOR, "next"),
            call(CURSOR, "close"),
            call(CURSOR, "next"),
        ),
    ),
    Known(
        "batch-size-later",
        "`batch_size` is refused once a cursor was read",
        "it may be changed between batches",
        "each getMore has its own",
        batch_size_later,
        example=(call(MANY, "find", take=KEEP), call(CURSOR, "next"), call(CURSOR, "batch_size", 3, take=IGNORE)),
    ),
    Known(
        "let-of-find",
        "`cursor.clone` and `cursor.explain` leave out the `let` of the find; `explain` has its read concern, "
        "`singleBatch` and `tailable`, and a `maxTimeMS` that the server ignores",
        "both have `let`; `explain` has what changes the plan, and its own `maxTimeMS`",
        "what is cloned or explained is what would run",
        let_of_find,
        ends=True,
        example=(chained(call(PEOPLE, "find", take=LIST, let={"v": 3}), ("clone", ())),),
    ),
    Known(
        "hint-of-distinct",
        "`cursor.distinct` drops the cursor's hint",
        "it sends the hint, which servers before 7.1 refuse",
        "an option that was given is never dropped silently",
        hint_of_distinct,
        ends=True,
        example=(chained(call(PEOPLE, "find", hint="_id_"), ("distinct", ("n",))),),
    ),
    Known(
        "await-of-tailable",
        "`max_await_time_ms` goes on the getMores of a `TAILABLE` cursor, which the server refuses",
        "it goes on those of a `TAILABLE_AWAIT` cursor alone",
        "find, getMore and killCursors specification",
        await_of_tailable,
        ends=True,
        example=(
            chained(call(CAPPED, "find", cursor_type=2, batch_size=1, take=KEEP), ("max_await_time_ms", (5,))),
            call(CURSOR, "next"),
            call(CURSOR, "next"),
        ),
    ),
    Known(
        "no-cursor-in-reply",
        "`cursor_command` of a command that opens no cursor raises `InvalidOperation`",
        "it raises a `ProtocolError`, which says so",
        "what the server answered cannot be read as what was asked for",
        no_cursor,
        example=(call(DATABASE, "cursor_command", "ping", take=LIST),),
    ),
    Known(
        "getmore-read-concern",
        "a getMore has the read concern of its snapshot session again",
        "it has none",
        "snapshot sessions specification: a cursor reads on in the snapshot that it was opened in",
        getmore_concern,
        example=in_session(call(MANY, "find", take=LIST, batch_size=2, session=SESSION), snapshot=True),
    ),
    Known(
        "closed-in-session",
        "`killCursors` is sent without the session, with a read concern, or as a statement of a transaction that the "
        "cursor has nothing to do with, which it may begin or break",
        "it is sent in the cursor's session, and in a transaction only if the cursor was opened in it",
        "housekeeping changes no transaction; sessions specification: killCursors takes the session of its cursor",
        closed_in_session,
        example=in_session(
            call(MANY, "find", take=KEEP, batch_size=2, session=SESSION),
            call(CURSOR, "next"),
            on_session("end_session"),
        ),
    ),
    Known(
        "rewound",
        "`await cursor.rewind()` closes the open cursor in its session",
        "`rewind()` is synchronous, and the background closes the cursor, in a session of the driver's",
        "the background never takes a turn in an application's session",
        rewound,
        example=in_session(
            call(MANY, "find", take=KEEP, batch_size=2, session=SESSION),
            call(CURSOR, "next"),
            call(CURSOR, "rewind", take=IGNORE),
            call(CURSOR, "next"),
        ),
    ),
    Known(
        "cursor-of-before",
        "a cursor that was opened before its session's transaction, or in an earlier one, is read all the same; the "
        "server may refuse it",
        "it is refused before anything is sent",
        "it would read another snapshot, and a getMore cannot start a transaction",
        cursor_of_before,
        ends=True,
        example=in_session(
            call(MANY, "find", take=KEEP, batch_size=2, session=SESSION),
            call(CURSOR, "next"),
            on_session("start_transaction"),
            call(CURSOR, "to_list"),
        ),
    ),
    Known(
        "cursor-of-ended-session",
        "a cursor whose session has ended says so once, and then ends as if there were no more",
        "it says so each time",
        "documents are missing otherwise, without notice",
        cursor_of_ended_session,
        ends=True,
        example=in_session(
            call(MANY, "find", take=KEEP, batch_size=2, session=SESSION),
            on_session("end_session"),
            call(CURSOR, "next"),
            call(CURSOR, "next"),
        ),
    ),
    Known(
        "exhaust-in-transactions",
        "the batches of an exhaust cursor are streamed within a transaction",
        "it is refused before anything is sent",
        "the statements of a transaction follow one another",
        shown_by="tests/integration/test_exhaust.py::test_it_is_refused_in_a_transaction_before_anything_is_sent",
    ),
    Known(
        "exhaust-on-routers",
        "an exhaust cursor is refused on a sharded cluster",
        "it is read with ordinary getMores there",
        "OP_MSG specification: a server may ignore `exhaustAllowed`",
        shown_by="tests/integration/test_load_balanced.py"
        "::test_raw_batches_and_cursors_that_would_stream_or_read_ahead",
    ),
    Known(
        "unreadable-document",
        "a document that cannot be decoded hides all others of its batch",
        "those before it are read first; the error names its `_id`",
        "documents are decoded while they are read",
        shown_by="tests/integration/test_unreadable.py::test_it_comes_at_its_own_place",
    ),
)
