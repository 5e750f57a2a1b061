"""What the documentation of others says of sessions, in our words, and the test that shows it.

A statement that does not hold here has the reason, and its test shows what holds instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    """A statement of a page.

    :param text: what it says.
    :param test: the test that shows it.
    :param otherwise: why it does not hold, if it does not; the test shows what holds instead.
    """

    text: str
    test: str
    otherwise: str = ""

    def __str__(self) -> str:
        return self.text


_ENGINE_SESSION = (
    "ODMantic 1.1 does not end the session that engine.transaction() makes, with any driver: use engine.session() and "
    "its transaction()"
)

#: ODMantic 1.1, "Sessions": the part for asynchronous engines. The tests are in ``mappers/cases_odmantic.py``.
ODMANTIC_ASYNC = (
    Statement("AIOSession is entered with async with", "test_a_session_is_a_block_and_ends_with_it"),
    Statement("AIOSession cleans up when it is left", "test_a_session_is_a_block_and_ends_with_it"),
    Statement("AIOSession.get_driver_session gives the driver's session", "test_the_driver_s_session_is_this_driver_s"),
    Statement(
        "AIOTransaction is an AIOSession",
        "test_a_transaction_is_a_block_that_commits",
        otherwise="in ODMantic 1.1 both derive from AIOSessionBase, and neither from the other",
    ),
    Statement("AIOTransaction is entered with async with", "test_a_transaction_is_a_block_that_commits"),
    Statement("AIOTransaction commits when it is left", "test_a_transaction_is_a_block_that_commits"),
    Statement("AIOTransaction aborts when an error leaves it", "test_an_exception_aborts_and_nothing_is_written"),
    Statement("AIOTransaction.get_driver_session gives the driver's", "test_a_transaction_is_a_block_that_commits"),
    Statement("AIOEngine.session() gives an AIOSession", "test_a_session_is_a_block_and_ends_with_it"),
    Statement("AIOEngine.transaction() gives an AIOTransaction", "test_a_transaction_is_a_block_that_commits"),
    Statement(
        "transactions clean up their resources",
        "test_the_session_of_a_transaction_that_the_engine_made_is_not_ended",
        otherwise=_ENGINE_SESSION,
    ),
    Statement("save uses the session", "test_operations_of_the_block_use_its_session_and_see_its_writes"),
    Statement("find uses the session", "test_operations_of_the_block_use_its_session_and_see_its_writes"),
    Statement("count uses the session", "test_operations_of_the_block_use_its_session_and_see_its_writes"),
    Statement("reads of a session are consistent", "test_operations_of_the_block_use_its_session_and_see_its_writes"),
    Statement("a transaction spans several saves", "test_a_transaction_is_a_block_that_commits"),
    Statement("a model is changed and saved again in it", "test_a_transaction_is_a_block_that_commits"),
    Statement(
        "model_update takes the fields as keywords",
        "test_model_update_takes_an_object_and_no_keywords",
        otherwise="in ODMantic 1.1 it takes a mapping or another model",
    ),
    Statement("a transaction spans several collections", "test_money_moves_between_collections_or_not_at_all"),
    Statement("a transfer finds both accounts in it", "test_money_moves_between_collections_or_not_at_all"),
    Statement("a transfer without funds is refused and undone", "test_money_moves_between_collections_or_not_at_all"),
    Statement("a transfer is recorded with it", "test_money_moves_between_collections_or_not_at_all"),
    Statement(
        "a session does many operations, and counts them",
        "test_an_error_in_the_block_ends_the_session_and_keeps_what_was_written",
    ),
    Statement(
        "a session is cleaned up after an error",
        "test_an_error_in_the_block_ends_the_session_and_keeps_what_was_written",
    ),
    Statement("a helper makes a session if it is given none", "test_a_helper_takes_a_session_or_makes_one"),
    Statement("a helper uses the session that it is given", "test_a_helper_takes_a_session_or_makes_one"),
    Statement("all helpers of one session see one state", "test_a_helper_takes_a_session_or_makes_one"),
    Statement("a transaction is rolled back by raising", "test_an_exception_aborts_and_nothing_is_written"),
    Statement("any error rolls all of it back", "test_an_exception_aborts_and_nothing_is_written"),
    Statement("nothing is there after a rollback", "test_an_exception_aborts_and_nothing_is_written"),
    Statement("a session has the client's settings", "test_a_session_has_the_settings_of_its_client"),
    Statement("a transaction has suitable concerns", "test_a_transaction_has_the_concerns_of_its_client"),
)


#: The part for synchronous engines. The tests are in ``mappers/cases_odmantic_sync.py``.
ODMANTIC_SYNC = (
    Statement("SyncSession is entered with with", "test_a_session_is_a_block_and_ends_with_it"),
    Statement("SyncSession cleans up when it is left", "test_a_session_is_a_block_and_ends_with_it"),
    Statement("SyncSession.get_driver_session gives the driver's", "test_a_session_is_a_block_and_ends_with_it"),
    Statement(
        "SyncTransaction is a SyncSession",
        "test_a_transaction_is_a_block_that_commits",
        otherwise="in ODMantic 1.1 both derive from SyncSessionBase, and neither from the other",
    ),
    Statement("SyncTransaction is entered with with", "test_a_transaction_is_a_block_that_commits"),
    Statement("SyncTransaction commits when it is left", "test_a_transaction_is_a_block_that_commits"),
    Statement("SyncTransaction aborts when an error leaves it", "test_an_exception_aborts_and_nothing_is_written"),
    Statement("SyncTransaction.get_driver_session gives the driver's", "test_a_transaction_is_a_block_that_commits"),
    Statement("SyncEngine.session() gives a SyncSession", "test_a_session_is_a_block_and_ends_with_it"),
    Statement("SyncEngine.transaction() gives a SyncTransaction", "test_a_transaction_is_a_block_that_commits"),
    Statement(
        "transactions clean up their resources",
        "test_the_session_of_a_transaction_that_the_engine_made_is_not_ended",
        otherwise=_ENGINE_SESSION,
    ),
    Statement("save uses the session", "test_operations_of_the_block_use_its_session_and_see_its_writes"),
    Statement("find uses the session", "test_operations_of_the_block_use_its_session_and_see_its_writes"),
    Statement("count uses the session", "test_operations_of_the_block_use_its_session_and_see_its_writes"),
    Statement("reads of a session are consistent", "test_operations_of_the_block_use_its_session_and_see_its_writes"),
    Statement("a transaction spans several collections", "test_a_transaction_is_a_block_that_commits"),
    Statement("any error rolls all of it back", "test_an_exception_aborts_and_nothing_is_written"),
)

_TURNS = "operations of one session take turns, in the order of the calls; overlap='refuse' refuses the second"

#: PyMongo 3.9's reference of the synchronous ClientSession. The tests are in ``test_client_session_page.py``.
CLIENT_SESSION = (
    Statement("a session orders operations that follow one another", "test_operations_follow_one_another"),
    Statement("a client's start_session makes it", "test_a_client_starts_it"),
    Statement("an application does not construct it", "test_a_client_starts_it"),
    Statement(
        "its constructor takes a server session, options, an authentication set, and whether it is implicit",
        "test_a_client_starts_it",
        otherwise="the constructor is internal in both drivers; later versions of PyMongo's take other arguments too",
    ),
    Statement("with ends it", "test_it_ends_with_its_block_or_by_hand"),
    Statement("end_session ends it", "test_it_ends_with_its_block_or_by_hand"),
    Statement("has_ended says whether it has ended", "test_it_ends_with_its_block_or_by_hand"),
    Statement("client is the client that started it", "test_a_client_starts_it"),
    Statement("options are its options", "test_a_client_starts_it"),
    Statement("session_id is its id", "test_a_client_starts_it"),
    Statement("cluster_time is the latest cluster time", "test_it_knows_its_times_and_advances_them"),
    Statement("operation_time is the time of the latest operation", "test_it_knows_its_times_and_advances_them"),
    Statement("advance_cluster_time advances it", "test_it_knows_its_times_and_advances_them"),
    Statement("advance_operation_time advances it", "test_it_knows_its_times_and_advances_them"),
    Statement("start_transaction starts a transaction", "test_a_transaction_is_committed_or_aborted_by_hand"),
    Statement("commit_transaction commits it", "test_a_transaction_is_committed_or_aborted_by_hand"),
    Statement("abort_transaction aborts it", "test_a_transaction_is_committed_or_aborted_by_hand"),
    Statement("in_transaction says whether one is in progress", "test_a_transaction_is_committed_or_aborted_by_hand"),
    Statement("start_transaction takes concerns, a read preference and a limit", "test_a_transaction_has_its_options"),
    Statement("a session is for one thread at a time", "test_threads_take_turns", otherwise=_TURNS),
    Statement("a session does not run several operations at once", "test_threads_take_turns", otherwise=_TURNS),
    Statement("a session is for one process", "test_another_process_cannot_use_it"),
    Statement("with_transaction runs its callback once, and commits", "test_a_callback_is_run_and_committed"),
    Statement("the callback reaches collections by session.client", "test_a_callback_is_run_and_committed"),
    Statement("the callback takes the session alone", "test_a_callback_is_run_and_committed"),
    Statement("with_transaction returns what the callback returns", "test_a_callback_is_run_and_committed"),
    Statement("a lambda gives the callback more arguments", "test_a_lambda_gives_it_more_arguments"),
    Statement("with_transaction takes the options of its transaction", "test_a_transaction_has_its_options"),
    Statement(
        "without a read preference, the database's is used",
        "test_a_transaction_has_the_defaults_of_its_session_and_its_client",
        otherwise="transactions specification: that of the session's default transaction options, then the client's",
    ),
    Statement("the callback may run several times", "test_a_transient_error_of_the_callback_runs_it_again"),
    Statement("a transient error of the callback starts over", "test_a_transient_error_of_the_callback_runs_it_again"),
    Statement("a transient error of the commit starts over", "test_a_transient_error_of_the_commit_starts_over"),
    Statement("a commit with an unknown result is sent again", "test_an_unknown_commit_is_sent_again"),
    Statement("a transaction is committed once at most", "test_an_unknown_commit_is_sent_again"),
    Statement("the callback starts no transaction", "test_a_callback_cannot_start_another"),
    Statement("a callback that commits is left alone", "test_a_callback_that_ends_the_transaction_is_left_alone"),
    Statement("a callback that aborts is left alone", "test_a_callback_that_ends_the_transaction_is_left_alone"),
    Statement("the callback does not run operations at once", "test_threads_take_turns", otherwise=_TURNS),
    Statement("an error of the callback aborts, and is raised", "test_another_error_of_the_callback_aborts"),
    Statement("it gives up after 120 seconds", "test_it_gives_up_when_the_time_is_over"),
    Statement(
        "that time cannot be changed",
        "test_it_gives_up_when_the_time_is_over",
        otherwise="retry=RetryPolicy(timeout=..., max_attempts=...) changes it, and so do timeout_ms and timeoutMS",
    ),
    Statement(
        "the last error is raised then",
        "test_it_gives_up_when_the_time_is_over",
        otherwise="convenient transactions specification, changes of 2026: a timeout error is raised, which wraps the "
        "last one and has its labels",
    ),
)
