"""Events and log messages compared with what a test expects."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId

from spec_tests.capture import LogMessage, Observed
from spec_tests.expectations import check_events, check_messages
from spec_tests.matching import Matcher
from spec_tests.schema import ExpectedEvents, ExpectedLogMessages, ExpectedSpans
from spec_tests.tracing import check_spans
from wiredrv import events
from wiredrv.description import ServerDescription, ServerType, TopologyDescription, TopologyType
from wiredrv.types import Address

ADDRESS = Address("a", 1)


def _started(name: str = "find", **command: Any) -> Observed:
    event = events.CommandStartedEvent(name, "db", 1, 1, ADDRESS, 1, 7, None, command={name: "c", **command})
    return Observed("commandStartedEvent", event)


def _observed(name: str, event: Any) -> Observed:
    return Observed(name, event)


def _expected(*expected: Any, family: str = "command", extra: bool = False) -> ExpectedEvents:
    value = {"client": "c", "eventType": family, "events": list(expected), "ignoreExtraEvents": extra}
    return ExpectedEvents.read(value, "e")


STARTED = {"commandStartedEvent": {"commandName": "find", "databaseName": "db", "command": {"find": "c"}}}
CLEARED = _observed("poolClearedEvent", events.PoolClearedEvent(ADDRESS, ObjectId(), True))
CHANGED = _observed(
    "serverDescriptionChangedEvent",
    events.ServerDescriptionChangedEvent(
        ObjectId(), ADDRESS, ServerDescription(ADDRESS), ServerDescription(ADDRESS, ServerType.RS_PRIMARY)
    ),
)
TOPOLOGY = _observed(
    "topologyDescriptionChangedEvent",
    events.TopologyDescriptionChangedEvent(
        ObjectId(), TopologyDescription(), TopologyDescription(TopologyType.REPLICA_SET_WITH_PRIMARY)
    ),
)
CLOSED = _observed("connectionClosedEvent", events.ConnectionClosedEvent(ADDRESS, 1, "stale"))
BEAT = _observed("serverHeartbeatStartedEvent", events.ServerHeartbeatStartedEvent(ADDRESS, True))


@pytest.mark.parametrize(
    "expected, observed",
    [
        (_expected(), []),
        (_expected(STARTED), [_started(lsid=1)]),
        (_expected({"commandStartedEvent": {}}), [_started()]),
        (_expected(STARTED, extra=True), [_started(), _started("insert")]),
        (_expected({"commandStartedEvent": {"hasServerConnectionId": True, "hasServiceId": False}}), [_started()]),
        (_expected({"poolClearedEvent": {"interruptInUseConnections": True}}, family="cmap"), [CLEARED]),
        (_expected({"poolClearedEvent": {"hasServiceId": True}}, family="cmap"), [CLEARED]),
        (_expected({"connectionClosedEvent": {"reason": "stale"}}, family="cmap"), [CLOSED]),
        (
            _expected(
                {
                    "serverDescriptionChangedEvent": {
                        "previousDescription": {"type": "Unknown"},
                        "newDescription": {"type": "RSPrimary"},
                    }
                },
                family="sdam",
            ),
            [CHANGED],
        ),
        (
            _expected(
                {"topologyDescriptionChangedEvent": {"newDescription": {"type": "ReplicaSetWithPrimary"}}},
                family="sdam",
            ),
            [TOPOLOGY],
        ),
        (_expected({"serverHeartbeatStartedEvent": {"awaited": True}}, family="sdam"), [BEAT]),
    ],
)
def test_events_that_are_as_expected(expected: ExpectedEvents, observed: list[Observed]) -> None:
    assert check_events(expected, observed, Matcher(), "e") is None


@pytest.mark.parametrize(
    "expected, observed, path",
    [
        (_expected(), [_started()], "e.events"),
        (_expected(STARTED), [], "e.events[0]"),
        (_expected(STARTED), [_started(), _started()], "e.events"),
        (_expected(STARTED, STARTED), [_started()], "e.events[1]"),
        (_expected(STARTED), [_started("insert")], "e.events[0].commandStartedEvent.commandName"),
        (_expected({"commandFailedEvent": {}}), [_started()], "e.events[0]"),
        (
            _expected({"commandStartedEvent": {"command": {"lsid": {"$$exists": False}}}}),
            [_started(lsid=1)],
            "e.events[0].commandStartedEvent.command.lsid",
        ),
        (
            _expected({"commandStartedEvent": {"databaseName": "other"}}),
            [_started()],
            "e.events[0].commandStartedEvent.databaseName",
        ),
        (
            _expected({"commandStartedEvent": {"hasServerConnectionId": False}}),
            [_started()],
            "e.events[0].commandStartedEvent.hasServerConnectionId",
        ),
        (
            _expected({"commandStartedEvent": {"hasServiceId": True}}),
            [_started()],
            "e.events[0].commandStartedEvent.hasServiceId",
        ),
        (
            _expected({"poolClearedEvent": {"interruptInUseConnections": False}}, family="cmap"),
            [CLEARED],
            "e.events[0].poolClearedEvent.interruptInUseConnections",
        ),
        (
            _expected({"connectionClosedEvent": {"reason": "idle"}}, family="cmap"),
            [CLOSED],
            "e.events[0].connectionClosedEvent.reason",
        ),
        (
            _expected({"serverDescriptionChangedEvent": {"newDescription": {"type": "Mongos"}}}, family="sdam"),
            [CHANGED],
            "e.events[0].serverDescriptionChangedEvent.newDescription.type",
        ),
        (
            _expected({"serverHeartbeatStartedEvent": {"awaited": False}}, family="sdam"),
            [BEAT],
            "e.events[0].serverHeartbeatStartedEvent.awaited",
        ),
    ],
)
def test_events_that_differ_name_the_key_path(expected: ExpectedEvents, observed: list[Observed], path: str) -> None:
    found = check_events(expected, observed, Matcher(), "e")
    assert found is not None
    assert found.path == path


def _message(level: str = "debug", component: str = "command", **data: Any) -> LogMessage:
    return LogMessage(component, level, {"message": "Command started", **data})


def _messages(*messages: Any, ignore: Any = (), extra: bool = False) -> ExpectedLogMessages:
    value = {
        "client": "c",
        "messages": list(messages),
        "ignoreMessages": list(ignore),
        "ignoreExtraMessages": extra,
    }
    return ExpectedLogMessages.read(value, "l")


MESSAGE = {"level": "debug", "component": "command", "data": {"message": "Command started"}}


@pytest.mark.parametrize(
    "expected, observed, path",
    [
        (_messages(MESSAGE), [_message(x=1)], None),
        (_messages(), [_message()], "l.messages"),
        (_messages(extra=True), [_message()], None),
        (_messages(ignore=[MESSAGE]), [_message()], None),
        (_messages(MESSAGE), [], "l.messages[0]"),
        (_messages(MESSAGE), [_message("info")], "l.messages[0].level"),
        (_messages(MESSAGE), [_message(component="topology")], "l.messages[0].component"),
        (_messages({**MESSAGE, "data": {"x": 1}}), [_message(x=2)], "l.messages[0].data.x"),
        (_messages({**MESSAGE, "failureIsRedacted": True}), [_message(failure={"code": 1})], None),
        (
            _messages({**MESSAGE, "failureIsRedacted": True}),
            [_message(failure={"errmsg": "e"})],
            "l.messages[0].failureIsRedacted",
        ),
        (_messages({**MESSAGE, "failureIsRedacted": False}), [_message(failure="what it said")], None),
        (_messages({**MESSAGE, "failureIsRedacted": True}), [_message()], "l.messages[0].failureIsRedacted"),
    ],
)
def test_log_messages(expected: ExpectedLogMessages, observed: list[LogMessage], path: str | None) -> None:
    found = check_messages(expected, observed, Matcher(), "l")
    assert (found.path if found is not None else None) == path


class _Span:
    def __init__(self, name: str, *nested: _Span, **attributes: Any) -> None:
        self.name, self.nested, self.attributes = name, nested, attributes


@pytest.mark.parametrize(
    "spans, extra, observed, path",
    [
        ([{"name": "find", "attributes": {"a": 1}}], False, [_Span("find", a=1, b=2)], None),
        ([{"name": "find", "attributes": {}}], False, [_Span("insert")], "s.spans[0]"),
        ([{"name": "find", "attributes": {"a": 1}}], False, [_Span("find", a=2)], "s.spans[0].attributes.a"),
        ([{"name": "find", "attributes": {}}], False, [_Span("find"), _Span("find")], "s.spans"),
        ([{"name": "find", "attributes": {}}], True, [_Span("insert"), _Span("find"), _Span("drop")], None),
        ([{"name": "find", "attributes": {}}], True, [_Span("insert")], "s.spans[0]"),
        (
            [{"name": "find", "attributes": {}, "nested": [{"name": "wire", "attributes": {"x": 1}}]}],
            False,
            [_Span("find", _Span("wire", x=2))],
            "s.spans[0].nested[0].attributes.x",
        ),
    ],
)
def test_tracing_spans(spans: Any, extra: bool, observed: list[_Span], path: str | None) -> None:
    expected = ExpectedSpans.read({"client": "c", "spans": spans, "ignoreExtraSpans": extra}, "s")
    found = check_spans(expected, observed, Matcher(), "s")
    assert (found.path if found is not None else None) == path
