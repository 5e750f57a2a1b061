"""What PyMongo's reference of the synchronous ClientSession says, statement by statement, on ``wiredrv.sync``."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Barrier, Thread
from typing import Any

import pytest
from bson.timestamp import Timestamp

from tests.ecosystem.statements import CLIENT_SESSION, Statement
from tests.support.commands import CommandLog
from wiredrv import ReadConcern, ReadPreference, RetryPolicy, TransactionOptions, WriteConcern
from wiredrv.client.sessions.with_transaction import DEFAULT_POLICY
from wiredrv.errors import DriverError, InvalidOperation, OperationFailure, TransactionTimeoutError
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client, ClientSession, Collection

DATABASE = "client_session_page"
#: So that fail points apply to these clients alone.
APP_NAME = "client session page"
TRANSIENT, UNKNOWN = "TransientTransactionError", "UnknownTransactionCommitResult"


@pytest.mark.parametrize("statement", CLIENT_SESSION, ids=str)
def test_each_statement_has_a_test(statement: Statement) -> None:
    assert callable(globals()[statement.test])


class Shop:
    """A client, its commands, and two collections with one article."""

    def __init__(self, client: Client, log: CommandLog) -> None:
        self.client, self.log = client, log
        self.orders, self.inventory = client[DATABASE].orders, client[DATABASE].inventory
        for collection in (self.orders, self.inventory):
            collection.delete_many({})
        self.inventory.insert_one({"sku": "abc123", "qty": 500})
        self.orders.insert_one({"sku": "of before"})
        log.clear()

    def sold(self) -> int:
        """How many orders there are of the article."""
        return self.orders.count_documents({"sku": "abc123"})


@pytest.fixture
def shop(replica_set: ReplicaSet) -> Iterator[Shop]:
    log = CommandLog()
    # A server whose fail point reported a shutdown becomes available again with its next heartbeat.
    with Client(replica_set.uri, event_listeners=[log], appName=APP_NAME, heartbeatFrequencyMS=500) as client:
        yield Shop(client, log)


@contextmanager
def failing(replica_set: ReplicaSet, command: str, **data: Any) -> Iterator[None]:
    """Make the primary fail this command once."""
    data = {"failCommands": [command], "appName": APP_NAME, **data}
    with Client(str(replica_set.primary().address), directConnection=True) as primary:
        primary.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
        try:
            yield
        finally:
            primary.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def order(session: ClientSession, quantity: int = 100) -> str:
    """The callback of most tests: an order, and the stock less by it."""
    database = session.client[DATABASE]
    database.orders.insert_one({"sku": "abc123", "qty": quantity}, session=session)
    database.inventory.update_one(
        {"sku": "abc123", "qty": {"$gte": quantity}}, {"$inc": {"qty": -quantity}}, session=session
    )
    return "ordered"


# --- the session ---


def test_a_client_starts_it(shop: Shop) -> None:
    with shop.client.start_session(causal_consistency=False) as session:
        assert type(session) is ClientSession
        assert session.client is shop.client
        assert session.options.causal_consistency is False
        assert set(session.session_id) == {"id"}
        shop.orders.find_one(session=session)
    [find] = shop.log.sent("find")
    assert find["lsid"] == session._inner._state.lsid
    with pytest.raises(TypeError):
        ClientSession()  # type: ignore[call-arg]  # a mistake is the point


def test_it_ends_with_its_block_or_by_hand(shop: Shop) -> None:
    with shop.client.start_session() as session:
        assert not session.has_ended
    by_hand = shop.client.start_session()
    by_hand.end_session()
    for ended in (session, by_hand):
        assert ended.has_ended
        with pytest.raises(InvalidOperation, match="ended"):
            shop.orders.find_one(session=ended)


def test_operations_follow_one_another(shop: Shop) -> None:
    with shop.client.start_session() as session:
        shop.orders.insert_one({"_id": 1}, session=session)
        assert shop.orders.find_one({"_id": 1}, session=session) == {"_id": 1}
        [insert, *_] = shop.log.succeeded_events
        assert shop.log.sent("find")[0]["readConcern"] == {"afterClusterTime": insert.reply["operationTime"]}


def test_it_knows_its_times_and_advances_them(shop: Shop) -> None:
    with shop.client.start_session() as session, shop.client.start_session() as other:
        assert (session.cluster_time, session.operation_time) == (None, None)
        shop.orders.insert_one({}, session=session)
        assert session.cluster_time is not None
        assert isinstance(session.operation_time, Timestamp)
        other.advance_cluster_time(session.cluster_time)
        other.advance_operation_time(session.operation_time)
        assert (other.cluster_time, other.operation_time) == (session.cluster_time, session.operation_time)
        shop.orders.find_one(session=other)
        assert shop.log.sent("find")[0]["readConcern"] == {"afterClusterTime": session.operation_time}


def test_threads_take_turns(shop: Shop) -> None:
    """Eight threads in one session: none of their operations overlap, and all are done in the one transaction."""
    together = Barrier(8)
    with shop.client.start_session() as session, session.start_transaction():

        def work() -> None:
            together.wait()
            for _ in range(5):
                order(session, 1)

        run_all([work] * 8)
    running = 0
    for event in shop.log.events:
        running += 1 if event in shop.log.started_events else -1
        assert running in (0, 1)
    assert shop.sold() == 40
    assert len({command["txnNumber"] for command in shop.log.sent("insert")}) == 1


def run_all(works: list[Callable[[], None]]) -> None:
    """Run functions in threads of their own, and wait for them."""
    threads = [Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_another_process_cannot_use_it(shop: Shop) -> None:
    with shop.client.start_session() as session:
        shop.orders.find_one(session=session)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(30)
                shop.orders.find_one(session=session)
            except InvalidOperation as error:
                status = 0 if "fork" in str(error) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert shop.orders.find_one(session=session) is not None


# --- transactions ---


def test_a_transaction_is_committed_or_aborted_by_hand(shop: Shop) -> None:
    with shop.client.start_session() as session:
        session.start_transaction()
        assert session.in_transaction
        order(session)
        session.abort_transaction()
        assert (session.in_transaction, shop.sold()) == (False, 0)
        session.start_transaction()
        order(session)
        session.commit_transaction()
        assert (session.in_transaction, shop.sold()) == (False, 1)


@pytest.mark.parametrize("call", ["start_transaction", "with_transaction"])
def test_a_transaction_has_its_options(shop: Shop, call: str) -> None:
    options = (ReadConcern("snapshot"), WriteConcern(w="majority", wtimeout=5000), ReadPreference.PRIMARY, 4000)
    with shop.client.start_session() as session:
        if call == "with_transaction":
            session.with_transaction(order, *options)
        else:
            with session.start_transaction(*options):
                order(session)
    first, second, commit = shop.log.sent()
    assert first["readConcern"] == {"level": "snapshot"}
    assert "writeConcern" not in (first.keys() | second.keys())
    assert (commit["writeConcern"], commit["maxTimeMS"]) == ({"w": "majority", "wtimeout": 5000}, 4000)
    with shop.client.start_session() as session, pytest.raises(InvalidOperation, match="primary"):
        session.with_transaction(
            lambda session: shop.orders.find_one(session=session), read_preference=ReadPreference.SECONDARY
        )


def test_a_transaction_has_the_defaults_of_its_session_and_its_client(shop: Shop, replica_set: ReplicaSet) -> None:
    secondary = shop.client.get_database(DATABASE, read_preference=ReadPreference.SECONDARY)
    with shop.client.start_session() as session:
        # The database's read preference plays no part: a transaction reads on the primary.
        session.with_transaction(lambda session: secondary.orders.find_one(session=session))
        assert "$readPreference" not in shop.log.sent("find")[0]
    options = TransactionOptions(read_preference=ReadPreference.SECONDARY)
    with Client(replica_set.uri, readPreference="secondary") as other:
        for session, client in (
            (shop.client.start_session(default_transaction_options=options), shop.client),
            (other.start_session(), other),
        ):
            orders = client[DATABASE].orders
            with session, pytest.raises(InvalidOperation, match="primary"):
                session.with_transaction(partial(read, orders))


def read(collection: Collection, session: ClientSession) -> object:
    """A callback that reads."""
    return collection.find_one(session=session)


# --- with_transaction ---


def test_a_callback_is_run_and_committed(shop: Shop) -> None:
    with shop.client.start_session() as session:
        assert session.with_transaction(order) == "ordered"
    assert shop.log.names == ["insert", "update", "commitTransaction"]
    assert shop.sold() == 1
    assert shop.inventory.find_one({}, {"_id": 0}) == {"sku": "abc123", "qty": 400}


def test_a_lambda_gives_it_more_arguments(shop: Shop) -> None:
    def callback(session: ClientSession, sku: str, quantity: int | None = None) -> tuple[str, int | None]:
        shop.orders.insert_one({"sku": sku, "qty": quantity}, session=session)
        return sku, quantity

    with shop.client.start_session() as session:
        assert session.with_transaction(lambda s: callback(s, "abc123", quantity=1)) == ("abc123", 1)
    assert shop.sold() == 1


def test_a_transient_error_of_the_callback_runs_it_again(shop: Shop, replica_set: ReplicaSet) -> None:
    with failing(replica_set, "update", errorCode=112, errorLabels=[TRANSIENT]), shop.client.start_session() as session:
        assert session.with_transaction(order) == "ordered"
    assert shop.log.names.count("insert") == 2
    assert shop.sold() == 1


def test_a_transient_error_of_the_commit_starts_over(shop: Shop, replica_set: ReplicaSet) -> None:
    failure = {"errorCode": 251, "errorLabels": [TRANSIENT]}
    with failing(replica_set, "commitTransaction", **failure), shop.client.start_session() as session:
        session.with_transaction(order)
    assert shop.log.names.count("insert") == shop.log.names.count("commitTransaction") == 2
    assert shop.sold() == 1


def test_an_unknown_commit_is_sent_again(shop: Shop, replica_set: ReplicaSet) -> None:
    """The first commit takes effect, and its outcome is unclear: the second is of the same transaction."""
    failure = {"writeConcernError": {"code": 91, "errmsg": "shutting down", "errorLabels": [UNKNOWN]}}
    with failing(replica_set, "commitTransaction", **failure), shop.client.start_session() as session:
        session.with_transaction(order)
    first, second = shop.log.sent("commitTransaction")
    assert first["txnNumber"] == second["txnNumber"]
    assert shop.log.names.count("insert") == 1
    assert shop.sold() == 1


def test_a_callback_cannot_start_another(shop: Shop) -> None:
    def callback(session: ClientSession) -> None:
        order(session)
        session.start_transaction()

    with shop.client.start_session() as session, pytest.raises(InvalidOperation, match="already in progress"):
        session.with_transaction(callback)
    assert shop.sold() == 0


@pytest.mark.parametrize("end, sold", [("commit_transaction", 1), ("abort_transaction", 0)])
def test_a_callback_that_ends_the_transaction_is_left_alone(shop: Shop, end: str, sold: int) -> None:
    def callback(session: ClientSession) -> str:
        order(session)
        getattr(session, end)()
        return "ended"

    with shop.client.start_session() as session:
        assert session.with_transaction(callback) == "ended"
    assert len([name for name in shop.log.names if name.endswith("Transaction")]) == 1
    assert shop.sold() == sold


def test_another_error_of_the_callback_aborts(shop: Shop) -> None:
    def callback(session: ClientSession) -> None:
        order(session)
        raise KeyError("ours")

    with shop.client.start_session() as session:
        with pytest.raises(KeyError, match="ours"):
            session.with_transaction(callback)
        assert not session.in_transaction
    assert shop.log.names == ["insert", "update", "abortTransaction"]
    assert shop.sold() == 0


def test_it_gives_up_when_the_time_is_over(shop: Shop) -> None:
    def callback(session: ClientSession) -> None:
        order(session)
        raise OperationFailure("a conflict", 112, error_labels=[TRANSIENT])

    assert DEFAULT_POLICY.timeout == 120
    with shop.client.start_session() as session:
        with pytest.raises(TransactionTimeoutError) as given_up:
            session.with_transaction(callback, retry=RetryPolicy(timeout=0.05))
        assert str(given_up.value.__cause__) == "a conflict"
        assert given_up.value.has_error_label(TRANSIENT)
        with pytest.raises(DriverError) as too_late:
            session.with_transaction(callback, timeout_ms=50)
        assert too_late.value.timeout
    assert shop.sold() == 0
