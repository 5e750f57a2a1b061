"""The decisions of change streams: where one is opened, which token is cached, and what a failure means.

Change-streams specification: "Resume Process", "Updating the Cached Resume Token", "Resumable Error".
"""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from wiredrv.client.change_streams.failures import Fate, fate_after_aggregate, fate_after_get_more, longest_pause
from wiredrv.client.change_streams.plan import OPTIONS, Plan
from wiredrv.client.change_streams.position import Position
from wiredrv.client.watchable import Watchable
from wiredrv.errors import (
    AutoReconnect,
    ConfigurationError,
    CursorNotFound,
    DriverError,
    ExecutionTimeout,
    InvalidDocument,
    InvalidOperation,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PoolClearedError,
    ProtocolError,
    ServerSelectionTimeoutError,
    UnreadableReply,
    WaitQueueTimeoutError,
)
from wiredrv.operations.base import Target
from wiredrv.server_errors import command_error

FIRST, BATCH, EVENT, LAST = ({"_data": name} for name in ("first", "batch", "event", "last"))
TIME, GIVEN_TIME = Timestamp(5, 1), Timestamp(3, 1)


# --- positions --------------------------------------------------------------------------------------------------------


def test_the_first_aggregate_has_what_the_user_gave() -> None:
    """ "Drivers MUST NOT throw a custom error, and MUST defer to the server error": even if two options are given."""
    names = ("resumeAfter", "startAfter", "startAtOperationTime")
    values = {"resumeAfter": FIRST, "startAfter": LAST, "startAtOperationTime": GIVEN_TIME}
    for count in range(4):
        for chosen in itertools.combinations(names, count):
            given = {name: values[name] for name in chosen}
            assert Position.of(given).beginning() == given


#: given, empty first batch, its token, the operation time of the reply -> how it is resumed, the cached token
OPENED: list[tuple[str, dict[str, Any], bool, Any, Any, dict[str, Any], Any]] = [
    ("nothing given, server has tokens", {}, True, BATCH, TIME, {"resumeAfter": BATCH}, BATCH),
    ("nothing given, server has none", {}, True, None, TIME, {"startAtOperationTime": TIME}, None),
    ("nothing given, no time either", {}, True, None, None, {}, None),
    ("events are there: not iterated", {}, False, BATCH, TIME, {}, None),
    ("events are there, no token", {}, False, None, TIME, {}, None),
    ("a time", {"startAtOperationTime": GIVEN_TIME}, True, BATCH, TIME, {"resumeAfter": BATCH}, BATCH),
    ("a time, no token", {"startAtOperationTime": GIVEN_TIME}, True, None, TIME, {"startAtOperationTime": GIVEN_TIME},
     None),
    ("a time, events are there", {"startAtOperationTime": GIVEN_TIME}, False, BATCH, TIME,
     {"startAtOperationTime": GIVEN_TIME}, None),
    ("resumeAfter", {"resumeAfter": FIRST}, True, BATCH, TIME, {"resumeAfter": BATCH}, BATCH),
    ("resumeAfter, no token", {"resumeAfter": FIRST}, True, None, TIME, {"resumeAfter": FIRST}, FIRST),
    ("resumeAfter, events are there", {"resumeAfter": FIRST}, False, BATCH, TIME, {"resumeAfter": FIRST}, FIRST),
    ("startAfter", {"startAfter": FIRST}, True, BATCH, TIME, {"startAfter": BATCH}, BATCH),
    ("startAfter, no token", {"startAfter": FIRST}, True, None, TIME, {"startAfter": FIRST}, FIRST),
    ("startAfter, events are there", {"startAfter": FIRST}, False, BATCH, TIME, {"startAfter": FIRST}, FIRST),
]  # fmt: skip


@pytest.mark.parametrize("_, given, empty, token, time, resumed, cached", OPENED, ids=[row[0] for row in OPENED])
def test_how_a_stream_is_resumed_before_its_first_event(
    _: str, given: Any, empty: bool, token: Any, time: Any, resumed: Any, cached: Any
) -> None:
    position = Position.of(given).after_opening(empty, token, time)
    assert position.beginning() == resumed
    assert position.token == cached


@pytest.mark.parametrize("given", [{}, {"resumeAfter": FIRST}, {"startAfter": FIRST}, {"startAtOperationTime": TIME}])
def test_after_an_event_the_stream_is_resumed_after_that_event(given: Any) -> None:
    """Prose test 18, among others."""
    position = Position.of(given).after_opening(False, BATCH, TIME).after_document(EVENT, None)
    assert position.beginning() == {"resumeAfter": EVENT}
    assert position.after_document(EVENT, LAST).beginning() == {"resumeAfter": LAST}
    assert position.after_empty_batch(None).beginning() == {"resumeAfter": EVENT}
    assert position.after_empty_batch(BATCH).beginning() == {"resumeAfter": BATCH}


def test_an_empty_batch_is_no_event() -> None:
    """Prose test 17: startAfter, until there was an event."""
    position = Position.of({"startAfter": FIRST}).after_opening(True, None, TIME).after_empty_batch(BATCH)
    assert position.beginning() == {"startAfter": BATCH}
    assert position.after_document(EVENT, None).beginning() == {"resumeAfter": EVENT}


def test_a_second_resume_keeps_the_position_of_the_first() -> None:
    """ "a driver MUST ensure that following resume attempts can succeed, even in the absence of any changes"."""
    position = Position.of({}).after_opening(True, None, TIME)
    again = position.after_opening(True, None, Timestamp(9, 9))
    assert again.beginning() == {"startAtOperationTime": TIME}
    assert again.after_opening(True, BATCH, Timestamp(9, 9)).beginning() == {"resumeAfter": BATCH}


# --- failures ---------------------------------------------------------------------------------------------------------


def _refused(code: int, version: int, *labels: str) -> DriverError:
    return command_error({"ok": 0, "code": code, "errmsg": "no", "errorLabels": list(labels)}, version)


RESUMABLE = "ResumableChangeStreamError"
OLD = [6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 63, 150, 13388, 234, 133]

AFTER_GET_MORE: list[tuple[DriverError, Fate]] = [
    *[(kind("no"), Fate.RESUMED) for kind in (AutoReconnect, NetworkTimeout, PoolClearedError, ProtocolError)],
    (ServerSelectionTimeoutError("no"), Fate.RESUMED),
    (WaitQueueTimeoutError("no"), Fate.RESUMED),
    *[(_refused(43, version), Fate.RESUMED) for version in (8, 9, 17)],
    *[(_refused(code, 8), Fate.RESUMED) for code in OLD],
    *[(_refused(code, 9), Fate.ENDED) for code in OLD],
    *[(_refused(code, 17, RESUMABLE), Fate.RESUMED) for code in (*OLD, 1, 216, 50)],
    (_refused(280, 17), Fate.ENDED),
    (_refused(216, 8), Fate.ENDED),
    (_refused(237, 17), Fate.ENDED),
    (_refused(50, 17), Fate.INTERRUPTED),
    (_refused(462, 17, "SystemOverloadedError", "RetryableError"), Fate.INTERRUPTED),
    (UnreadableReply("no"), Fate.ENDED),
    (InvalidOperation("no"), Fate.UNCHANGED),
    (ConfigurationError("no"), Fate.UNCHANGED),
    (InvalidDocument("no"), Fate.UNCHANGED),
]


@pytest.mark.parametrize("error, fate", AFTER_GET_MORE)
def test_what_follows_a_failed_get_more(error: DriverError, fate: Fate) -> None:
    assert fate_after_get_more(error) is fate


AFTER_AGGREGATE: list[tuple[DriverError, Fate]] = [
    (AutoReconnect("no"), Fate.INTERRUPTED),
    (ServerSelectionTimeoutError("no"), Fate.INTERRUPTED),
    (_refused(10107, 17), Fate.INTERRUPTED),
    (_refused(50, 17), Fate.INTERRUPTED),
    (_refused(462, 17, "SystemOverloadedError", "RetryableError"), Fate.INTERRUPTED),
    (_refused(43, 17), Fate.ENDED),
    (_refused(286, 17), Fate.ENDED),
    (_refused(6, 17, RESUMABLE), Fate.ENDED),
    (_refused(40573, 17), Fate.ENDED),
    (UnreadableReply("no"), Fate.ENDED),
    (InvalidOperation("no"), Fate.UNCHANGED),
]


@pytest.mark.parametrize("error, fate", AFTER_AGGREGATE)
def test_an_error_of_an_aggregate_is_never_resumed(error: DriverError, fate: Fate) -> None:
    assert fate_after_aggregate(error) is fate


def test_a_stream_that_is_resumed_again_and_again_pauses() -> None:
    assert [longest_pause(resumes) for resumes in range(1, 7)] == [0, 0, 0, 0.1, 0.2, 0.4]
    assert [longest_pause(resumes) for resumes in (9, 10, 99)] == [3.2, 5, 5]


def test_the_classes_of_the_errors_are_those_that_servers_cause() -> None:
    assert isinstance(_refused(10107, 17), NotPrimaryError)
    assert isinstance(_refused(43, 17), CursorNotFound)
    assert isinstance(_refused(50, 17), ExecutionTimeout)
    assert isinstance(_refused(6, 17), OperationFailure)


# --- arguments --------------------------------------------------------------------------------------------------------

TARGET = Target("shop", "orders")

STAGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"full_document": "updateLookup"}, {"fullDocument": "updateLookup"}),
    ({"full_document": "of the future"}, {"fullDocument": "of the future"}),
    ({"full_document_before_change": "off"}, {"fullDocumentBeforeChange": "off"}),
    ({"resume_after": FIRST, "start_after": LAST}, {"resumeAfter": FIRST, "startAfter": LAST}),
    ({"start_at_operation_time": TIME}, {"startAtOperationTime": TIME}),
    ({"show_expanded_events": True}, {"showExpandedEvents": True}),
    ({"show_expanded_events": False}, {}),
    ({"resume_after": None, "full_document": None, "start_at_operation_time": None}, {}),
]


@pytest.mark.parametrize("options, stage", STAGES)
def test_options_of_the_stage(options: dict[str, Any], stage: dict[str, Any]) -> None:
    plan = Plan.of(TARGET, [{"$match": {"a": 1}}], options)
    operation = plan.operation(Position.of(plan.beginning))
    assert operation.stage == stage
    assert operation.pipeline == [{"$match": {"a": 1}}]
    assert operation.options == {}


def test_options_of_the_command_and_of_the_cursor() -> None:
    options = {"collation": {"locale": "en"}, "comment": {"why": 1}, "batch_size": 0, "max_await_time_ms": 20}
    plan = Plan.of(TARGET, None, options)
    assert plan.command == {"collation": {"locale": "en"}, "comment": {"why": 1}}
    assert (plan.batch_size, plan.max_await_time_ms) == (0, 20)
    assert plan.operation(Position.of({})).batch_size == 0


def test_the_stage_of_a_whole_deployment() -> None:
    plan = Plan.of(Target("admin"), None, {"resume_after": FIRST}, whole_deployment=True)
    opened = plan.operation(Position.of(plan.beginning))
    assert opened.stage == {"allChangesForCluster": True, "resumeAfter": FIRST}
    resumed = plan.operation(Position.of(plan.beginning).after_opening(True, BATCH, TIME))
    assert resumed.stage == {"allChangesForCluster": True, "resumeAfter": BATCH}


def test_later_changes_of_the_arguments_do_not_change_the_stream() -> None:
    match = {"$match": {"a": 1}}
    pipeline, token = [match], dict(FIRST)
    plan = Plan.of(TARGET, pipeline, {"resume_after": token})
    match["$match"]["a"] = 2
    pipeline.append({})
    token["_data"] = "changed"
    operation = plan.operation(Position.of(plan.beginning))
    assert (operation.pipeline, operation.stage) == ([{"$match": {"a": 1}}], {"resumeAfter": FIRST})


@pytest.mark.parametrize(
    "pipeline, options, said",
    [
        ({"$match": {}}, {}, "pipeline must be a list of stages"),
        (["$match"], {}, "each stage of pipeline"),
        (None, {"full_document": 1}, "full_document must be a string"),
        (None, {"full_document_before_change": True}, "full_document_before_change must be a string"),
        (None, {"resume_after": "8263"}, "resume_after must be a mapping"),
        (None, {"start_after": 5}, "start_after must be a mapping"),
        (None, {"start_at_operation_time": 5}, "start_at_operation_time must be a bson Timestamp"),
        (None, {"batch_size": -1}, "batch_size must be a whole number"),
        (None, {"max_await_time_ms": 1.5}, "max_await_time_ms must be a whole number"),
        (None, {"collation": "en"}, "collation must be"),
        (None, {"show_expanded_events": 1}, "show_expanded_events must be True or False"),
        (None, {"sesion": 1}, "unknown option 'sesion'"),
    ],
)
def test_bad_arguments_are_refused(pipeline: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Plan.of(TARGET, pipeline, options)


def test_every_option_that_is_documented_is_accepted() -> None:
    parameters = set(inspect.signature(Watchable.watch).parameters) - {"self", "pipeline", "session", "timeout_ms"}
    assert parameters == set(OPTIONS)


def test_documents_are_decoded_one_by_one_where_the_user_has_options_of_their_own() -> None:
    plain = Plan.of(TARGET, None, {})
    assert plain.target is TARGET
    for options in (CodecOptions(tz_aware=True), CodecOptions(document_class=RawBSONDocument)):
        own = Plan.of(Target("shop", "orders", codec_options=options), None, {})
        assert own.target.codec_options.document_class is RawBSONDocument
        assert own.target.codec_options.tz_aware == options.tz_aware, "for the pipeline"
