"""The rows of the table that calls alone do not show: each names the test that shows it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.differential.row import Known

#: What no call shows by itself: tasks, event loops, what happens to failures later.
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
        "the second error alone does not show the reason",
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
        "refused before sending, with a clear error; `await client.supports_transactions()` tells beforehand",
        "the error says what to do",
        shown_by="tests/execution/test_decorate.py"
        "::test_a_transaction_on_a_standalone_is_refused_before_it_is_sent_and_says_what_to_do",
    ),
    Known(
        "gridfs-abandoned-uploads",
        "an upload whose block is left by an error or a cancellation leaves its chunks; `abort()` deletes those of "
        "another file that has the same id",
        "its own chunks are deleted, and no others",
        "chunks without a file are never found again",
        shown_by="tests/integration/test_gridfs.py::test_an_exception_in_the_block_or_of_the_source_removes_what_was_stored",
    ),
    Known(
        "gridfs-attributes",
        "any attribute that is set on a GridIn becomes a field of the file's document",
        "`filename` and `metadata` can be set until the file is stored; anything else belongs into `metadata`",
        "the specification does not allow other fields, and a misspelt name is an error",
        shown_by="tests/integration/test_gridfs.py::test_an_upload_is_aborted_by_hand",
    ),
    Known(
        "unknown-client-options",
        "an unknown keyword option of the client is a warning",
        "an error that names the option you may have meant",
        "a misspelt `tls` must not connect in the clear",
        shown_by="tests/options/test_uri.py::test_a_bad_keyword_is_an_error_that_names_it_and_what_is_valid",
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
        "the same code runs on both",
        shown_by="tests/test_cancellation.py::test_a_storm_of_cancellations_leaves_nothing_behind",
    ),
)
