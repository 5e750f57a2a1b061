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
