"""Causal tokens between clients of threads: the same sessions, and the question to the primary, in blocking calls."""

from __future__ import annotations

import threading

import pytest
from bson.timestamp import Timestamp

from tests.support.event_log import EventLog
from wiredrv import ReadPreference, TokenKeys, events
from wiredrv.errors import InvalidToken
from wiredrv.local import ReplicaSet
from wiredrv.session.tokens import UNKNOWN_DEPLOYMENT, write_causal_token
from wiredrv.sync import Client

KEYS = TokenKeys("a key of the application's, for tokens")


def test_a_session_continues_from_that_of_another_client(replica_set: ReplicaSet) -> None:
    heard = EventLog()
    with Client(replica_set.uri) as writer, Client(replica_set.uri, event_listeners=[heard]) as reader:
        writer.shop.sync_tokens.delete_many({})
        with writer.start_session() as session:
            nothing = session.causal_token
            assert nothing is None
            writer.shop.sync_tokens.insert_one({"_id": 1}, session=session)
            token, time = session.causal_token, session.operation_time
        assert token is not None
        nearby = reader.shop.get_collection("sync_tokens", read_preference=ReadPreference.SECONDARY)
        found: list[object] = []
        with reader.start_session(after=KEYS.sign(token), token_keys=KEYS, invalid_token="refuse") as session:
            threads = [
                threading.Thread(target=lambda: found.append(nearby.find_one({}, session=session))) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert found == [{"_id": 1}] * 4
        sent = [event for event in heard.of(events.CommandStartedEvent) if event.command_name in ("ping", "find")]
        assert [event.command_name for event in sent] == ["ping", *["find"] * 4]
        assert sent[1].command["readConcern"] == {"afterClusterTime": time}


def test_a_forged_token_is_ignored_or_refused(replica_set: ReplicaSet) -> None:
    heard = EventLog()
    forged = write_causal_token(Timestamp(2**32 - 1, 1), None, UNKNOWN_DEPLOYMENT)
    with Client(replica_set.uri, event_listeners=[heard]) as client:
        with client.start_session(after=[forged, "rubbish"]) as session:
            client.shop.sync_tokens.find_one({}, session=session)
        reasons = [event.reason for event in heard.of(events.CausalTokenIgnoredEvent)]
        assert reasons == ["malformed", "unconfirmed"]
        with pytest.raises(InvalidToken):
            client.start_session(after="rubbish", invalid_token="refuse")
        with (
            client.start_session(after=forged, invalid_token="refuse") as session,
            pytest.raises(InvalidToken, match="is later than that of the deployment"),
        ):
            client.shop.sync_tokens.find_one({}, session=session)


def test_sessions_of_several_threads_share_the_question(replica_set: ReplicaSet) -> None:
    heard = EventLog()
    with Client(replica_set.uri) as writer, Client(replica_set.uri, event_listeners=[heard]) as reader:
        reader.shop.sync_tokens.find_one({})
        with writer.start_session() as session:
            writer.shop.sync_tokens.insert_one({}, session=session)
            token = session.causal_token
        start = threading.Barrier(8)
        refused: list[Exception] = []

        def read() -> None:
            start.wait()
            try:
                with reader.start_session(after=token, invalid_token="refuse") as session:
                    reader.shop.sync_tokens.find_one({}, session=session)
            except Exception as error:
                refused.append(error)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not refused
        assert len(heard.of(events.CommandStartedEvent, command_name="ping")) == 1
        finds = heard.of(events.CommandStartedEvent, command_name="find")
        assert sum("afterClusterTime" in find.command.get("readConcern", {}) for find in finds) == 8
