"""The table of known differences between wiredrv and PyMongo Async: each with its reason, and what exactly it excuses.

``docs/coming-from-pymongo.md`` is generated from it. A difference that no row excuses fails the lab, and a row that
excused nothing fails the long run. Rows of what the lab cannot see name the test that shows it.

A row is a choice with a reason. What is a defect gets mended, and no row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.differential import patterns
from tests.differential.outcomes import Difference


@dataclass(frozen=True)
class Known:
    """One known difference.

    :param id: its name in reports.
    :param elsewhere: what PyMongo does.
    :param here: what wiredrv does instead.
    :param reason: why.
    :param excuses: whether a difference is this one.
    :param ends: whether the two cannot be compared any further after it: one has done what the other refused.
    :param shown_by: for what the lab cannot see: a test that does, as ``tests/test_x.py::test_name``.
    """

    id: str
    elsewhere: str
    here: str
    reason: str
    excuses: Callable[[Difference], bool] = lambda difference: False
    ends: bool = False
    shown_by: str = ""


#: What no call by itself shows: tasks, event loops, what becomes of failures later.
BEYOND_CALLS: Sequence[Known] = (
    Known(
        "binding-covers-all",
        "an operation that forgets `session=` silently leaves the transaction",
        "`session.bind()` covers every path; `client.transaction()` binds for you",
        "money must not leave a transaction by a forgotten argument",
        shown_by="tests/integration/test_bind.py::test_a_transaction_of_a_bound_session_holds_all_that_is_done",
    ),
    Known(
        "inherited-binding",
        "a bound session leaks into child tasks",
        "a child task that inherits it gets an error that says how to hand it over; `bind(inherit=True)` and "
        "`client.transaction(inherit=True)` let the tasks of the block take part",
        "context variables are copied into each task, whether it was meant or not",
        shown_by="tests/integration/test_bind.py::test_a_child_task_that_inherits_the_binding_is_refused",
    ),
    Known(
        "two-tasks",
        "one session used by two tasks at once corrupts its transaction",
        'its operations take turns, in the order of the calls; `start_session(overlap="refuse")` refuses the second',
        "statements of a transaction have an order",
        shown_by="tests/session/test_turns.py::test_turns_come_in_the_order_of_the_calls",
    ),
    Known(
        "first-cause",
        "“No active transaction” hides the first failure",
        "the error of a failed transaction has its record in `error.transaction`: attempt, commands, times, cause",
        "the second error only says that there was a first",
        shown_by="tests/integration/test_transaction_record.py::test_later_errors_name_the_first_one",
    ),
    Known(
        "labels-in-groups",
        "a label is lost when an error is wrapped or comes in an exception group",
        "`with_transaction` finds it",
        "task groups raise groups",
        shown_by="tests/integration/test_with_transaction.py::test_labels_are_found_through_groups_and_wrappers",
    ),
    Known(
        "standalone-transactions",
        "“Transaction numbers are only allowed on a replica set member or mongos”",
        "refused before sending, with a sentence; `await client.supports_transactions()` asks",
        "the error says what to do",
        shown_by="tests/execution/test_decorate.py"
        "::test_a_transaction_on_a_standalone_is_refused_before_it_is_sent_and_says_what_to_do",
    ),
    Known(
        "unknown-client-options",
        "an unknown keyword option of the client is a warning",
        "an error that names the option you may have meant",
        "a misspelt `tls` must not connect in the clear",
        shown_by="tests/client/test_uri.py::test_a_bad_keyword_is_an_error_that_names_it_and_what_is_valid",
    ),
    Known(
        "never-closed",
        "a session or client that was never closed is silent",
        "a `ResourceWarning` with the place where it was made",
        "leaks show where they are made",
        shown_by="tests/integration/test_session_lifetime.py"
        "::test_a_session_that_was_not_ended_warns_with_where_it_was_started",
    ),
    Known(
        "cancelled-cursors",
        "cancelling an operation may leave a cursor open on the server",
        "it is closed; see [Architecture](architecture.md#cancellation)",
        "cancellation is an ordinary event",
        shown_by="tests/test_cancellation.py::test_an_operation_cancelled_at_any_await_leaves_nothing_behind",
    ),
    Known(
        "retry-policy",
        "`with_transaction` has a fixed policy",
        "`retry=RetryPolicy(timeout=..., max_attempts=..., on_retry=...)`, and hooks on the outcome",
        "applications have limits of their own",
        shown_by="tests/integration/test_with_transaction.py::test_the_policy_limits_the_attempts",
    ),
    Known(
        "reopened-clients",
        "a closed client stays closed",
        "operations on it raise the same `InvalidOperation`; `await client.open()` or `async with` opens it again, in "
        "another event loop too",
        "tests and workers have one event loop after another",
        shown_by="tests/integration/test_session_lifetime.py::test_a_client_works_in_one_event_loop_after_another",
    ),
    Known(
        "event-loops",
        "asyncio",
        "asyncio and trio",
        "one text for both",
        shown_by="tests/test_cancellation.py::test_a_storm_of_cancellations_leaves_nothing_behind",
    ),
)

#: What calls show; the lab sees each of them.
OF_CALLS: Sequence[Known] = (
    Known(
        "argument-errors",
        "an argument of the wrong kind raises `TypeError`, `ValueError`, `AttributeError`...",
        "it raises `ConfigurationError` (`InvalidName`, `InvalidDocument`), with a sentence",
        "one root class for all errors of the driver, and a text that says what to give",
        patterns.other_class_of_refusal,
    ),
    Known(
        "whole-numbers",
        "floats and negative numbers are taken for counts and times in some places",
        "whole numbers from 0 up (`limit` may be negative)",
        "the server would round them, or refuse them later",
        patterns.not_a_whole_number,
        ends=True,
    ),
    Known(
        "unknown-options",
        "an option that a method does not have is sent in some methods (`**kwargs`), and is a `TypeError` in others",
        "an error that names the options there are, where the driver knows them all",
        "a misspelt `sesion=` must not leave a transaction",
        patterns.unknown_option,
        ends=True,
    ),
    Known(
        "keyword-only",
        "options can be given by position",
        "what comes after the documents and filters is given by keyword",
        "a call then says what it does, and options can be added",
        patterns.keyword_only,
        ends=True,
    ),
    Known(
        "more-forms",
        "some methods take an order or keys as a list of pairs only, some a pipeline as a list only...",
        "each takes all forms: a name, a list of names or pairs, a mapping; a list or a tuple",
        "one meaning of an argument for all methods",
        patterns.more_forms,
        ends=True,
    ),
    Known(
        "server-defaults",
        "`upsert: false`, `multi: false` and `new: false` are sent in some commands",
        "they are sent in others, or left out",
        "they are the server's own defaults",
        patterns.default_left_out,
    ),
    Known(
        "empty-options",
        "an empty `comment`, `let`, `collation`, `hint` or `projection` and a `maxTimeMS` of 0 are left out of some "
        "commands",
        "what was given is sent",
        "only None means not given",
        patterns.empty_option,
    ),
    Known(
        "generated-id-first",
        "command events and error details show a generated `_id` as the last field of its document",
        "they show it as the first, as it is sent and stored",
        "events show what was sent",
        patterns.generated_id_first,
    ),
    Known(
        "raw-inserted-id",
        "`inserted_id` is None for a RawBSONDocument, whatever `_id` it holds, and `inserted_ids` leaves it out",
        "it is the `_id` that the document holds",
        "the result says what was inserted",
        patterns.raw_id,
    ),
    Known(
        "batch-of-one",
        "a `batchSize` of 1 becomes 2 in getMores",
        "it is sent as given",
        "it was a workaround for the old wire protocol",
        patterns.batch_of_one,
    ),
    Known(
        "single-batch",
        "a negative limit is sent with the batch size that was given, or none",
        "its `batchSize` is the limit",
        "then the one batch is as large as the limit (find, getMore and killCursors specification)",
        patterns.single_batch,
        ends=True,
    ),
    Known(
        "close-drops",
        "a cursor that was closed still hands out what it had fetched",
        "it ends",
        "closed means closed",
        patterns.close_drops,
    ),
    Known(
        "no-listCollections",
        "`create_collection` asks first whether the collection exists (`listCollections`)",
        "the server says so",
        "one command less, and no race between the two",
        patterns.existence_asked,
    ),
    Known(
        "collection-exists",
        "a name that is taken raises `CollectionInvalid`",
        "it raises `CollectionExists`: a `CollectionInvalid` that is an `OperationFailure` too",
        "the server's code and reply are kept",
        patterns.exists_before_all,
    ),
    Known(
        "bypass-name",
        "`aggregate` and `find_one_and_...` know `bypassDocumentValidation` only",
        "they know `bypass_document_validation` too",
        "the other methods call it so",
        patterns.bypass_name,
        ends=True,
    ),
    Known(
        "unacknowledged-results",
        "of a write with `w=0`, `raw_result` is None or made up, and `did_upsert` fails with an `AssertionError`",
        "`raw_result` is empty, and counts raise `InvalidOperation`",
        "nothing is known of such a write",
        patterns.unacknowledged,
    ),
    Known(
        "bounds-need-hint",
        "`min` and `max` without a hint are refused",
        "the server refuses them",
        "the condition is the server's",
        patterns.hint_for_bounds,
        ends=True,
    ),
    Known(
        "batches-retried",
        "a bulk write with one `UpdateMany` or `DeleteMany` is not retried at all",
        "only the batch that holds it is not",
        "retryable writes specification: each batch is a command",
        patterns.number_of_each_batch,
    ),
    Known(
        "closed-in-session",
        "`killCursors` is sent without the session, with a read concern, or as a statement of a transaction that the "
        "cursor has nothing to do with, which it may begin or break",
        "it is sent in the cursor's session, and in a transaction only if the cursor was opened in it",
        "housekeeping changes no transaction; sessions specification: killCursors takes the session of its cursor",
        patterns.closed_in_session,
    ),
    Known(
        "none-options",
        "an option of None is sent as null by some methods, and the server may refuse it",
        "it is left out",
        "None means not given",
        patterns.none_option,
    ),
    Known(
        "zero-counts-all",
        "`count_documents(limit=0)` is an error of the server's; `skip=0` is sent",
        "0 means no limit, as in `find`",
        "one meaning of 0",
        patterns.zero_counts_all,
        ends=True,
    ),
    Known(
        "build-info",
        "`server_info` sends `buildinfo`",
        "it sends `buildInfo`",
        "the command's documented name",
        lambda d: d.what == "commands" and d.theirs == ["buildinfo"] and d.ours == ["buildInfo"],
    ),
    Known(
        "order-as-list",
        "the `sort` of a bulk request, `min` and `max` of a find, and the `hint` of an aggregate are sent as given",
        "they are sent as documents, whatever their form",
        "the server takes documents alone",
        patterns.order_as_list,
        ends=True,
    ),
    Known(
        "unknown-field-first",
        "of two unknown fields of a command, the server complains of one",
        "it may complain of the other",
        "the fields of a command have no order",
        patterns.field_order,
    ),
    Known(
        "falsy-filter",
        'a filter of `0`, `False`, `""` or `[]` means none in `find`',
        "it is refused",
        "only None means not given",
        lambda d: d.method in ("find", "find_one") and patterns.refused(d, r"^filter must be a mapping"),
        ends=True,
    ),
    Known(
        "drop-index-star",
        '`drop_index("*")` drops all indexes',
        "it is refused: `drop_indexes()` drops them all",
        "nobody drops all indexes by the method that drops one",
        lambda d: patterns.refused(d, r"^drop_index drops one index"),
        ends=True,
    ),
    Known(
        "bind-ended",
        "`bind()` of an ended session fails with the first operation in it",
        "`bind()` fails",
        "the error comes where the mistake is",
        patterns.bind_ended,
        ends=True,
    ),
    Known(
        "command-read-concern",
        "`command` adds `afterClusterTime` in a causally consistent session",
        "it adds it to nothing that is sent as given",
        "run-command specification: no read concern is added",
        patterns.command_reads_after,
    ),
    Known(
        "nothing-to-abort",
        "a first statement that could not be encoded starts its transaction all the same: the next one is refused "
        "by the server, or an abort is sent",
        "the next statement begins the transaction; without one, nothing is sent",
        "the server knows of no transaction",
        patterns.nothing_to_abort,
        ends=True,
    ),
    Known(
        "getmore-read-concern",
        "a getMore bears the read concern of its snapshot session again",
        "it bears none",
        "snapshot sessions specification: a cursor reads on in the snapshot that it was opened in",
        patterns.getmore_concern,
    ),
    Known(
        "drop-by-keys",
        "`drop_index(keys)` drops the index with the name that these keys give by default",
        "it drops the index with these keys, whatever its name",
        "index management specification",
        patterns.drops_by_keys,
    ),
    Known(
        "hint-of-distinct",
        "`cursor.distinct` drops the cursor's hint",
        "it sends the hint, which servers before 7.1 refuse",
        "nothing that was asked for is dropped without a word",
        patterns.hint_of_distinct,
        ends=True,
    ),
    Known(
        "given-twice",
        "an option with the name of a field that the call makes anyway replaces it",
        "it is refused",
        '`aggregate([], aggregate="other")` must not read another collection',
        patterns.given_twice,
        ends=True,
    ),
    Known(
        "let-of-find",
        "`cursor.clone` and `cursor.explain` leave out the `let` of the find; `explain` has its read concern, "
        "`singleBatch` and `tailable`",
        "both have `let`; `explain` has what changes the plan",
        "what is cloned or explained is what would run",
        patterns.let_of_find,
        ends=True,
    ),
    Known(
        "await-of-tailable",
        "`max_await_time_ms` goes on the getMores of a `TAILABLE` cursor, which the server refuses",
        "it goes on those of a `TAILABLE_AWAIT` cursor alone",
        "find, getMore and killCursors specification",
        patterns.await_of_tailable,
        ends=True,
    ),
    Known(
        "no-cursor-in-reply",
        "`cursor_command` of a command that opens no cursor raises `InvalidOperation`",
        "it raises a `ProtocolError`, which says so",
        "what the server answered cannot be read as what was asked for",
        patterns.no_cursor,
    ),
    Known(
        "unacknowledged-options",
        "array filters and collations are refused for unacknowledged writes",
        "they are sent",
        "every supported server knows them",
        lambda d: patterns.accepted(d, "unsupported for unacknowledged writes"),
        ends=True,
    ),
    Known(
        "cursor-of-before",
        "a cursor that was opened before its session's transaction, or in an earlier one, is read all the same; the "
        "server may refuse it",
        "it is refused before anything is sent",
        "it would read another snapshot, and a getMore cannot start a transaction",
        patterns.cursor_of_before,
        ends=True,
    ),
    Known(
        "unacknowledged-concern",
        "command events of unacknowledged bulk writes show no write concern",
        "they show `{w: 0}`, as it is sent",
        "events show what was sent",
        patterns.unacknowledged_concern,
    ),
    Known(
        "estimated-count-session",
        "`estimated_document_count` takes the bound session",
        "it never takes one",
        "CRUD specification: it takes no session, and is refused in transactions",
        patterns.count_takes_no_session,
    ),
    Known(
        "size-as-float",
        "`create_collection(size=4096)` sends a float",
        "it sends what was given",
        "it is a whole number",
        patterns.size_as_float,
    ),
    Known(
        "preference-of-transaction",
        "some commands ignore the read preference of their transaction",
        "one other than primary is refused, for each command",
        "transactions specification: the read preference of a transaction must be primary",
        patterns.preference_of_transaction,
        ends=True,
    ),
    Known(
        "refused-commit",
        "a commit that the server refuses (`NoSuchTransaction`) raises the write concern error of the same reply",
        "it raises the refusal",
        "the write concern of what was not committed says nothing",
        patterns.refused_commit,
    ),
    Known(
        "arguments-refused-here",
        "some arguments of the wrong kind are sent, and the server refuses them, or reads them in a way of its own",
        "they are refused before anything is sent",
        "the error comes where the mistake is, and is the same for each server version",
        patterns.refused_here,
        ends=True,
    ),
)

KNOWN: Sequence[Known] = (*BEYOND_CALLS, *OF_CALLS)
