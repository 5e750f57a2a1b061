"""What is observed of a client: which events are recorded, what is counted, how a test waits for more."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from spec_tests.capture import EventLog, Trace, spec_name
from spec_tests.schema import ClientEntity
from spec_tests.schema.events import EVENT_FIELDS
from wiredrv import events
from wiredrv.types import Address

ADDRESS = Address("a", 1)


def _log(**options: Any) -> EventLog:
    observed = ["commandStartedEvent", "commandSucceededEvent", "commandFailedEvent"]
    model = ClientEntity.read({"id": "c", "observeEvents": observed, **options}, "client")
    return EventLog(model, Trace())


def _started(name: str, request: int = 1, **command: Any) -> events.CommandStartedEvent:
    return events.CommandStartedEvent(name, "db", request, 1, ADDRESS, 1, command=command)


def _succeeded(name: str, request: int = 1) -> events.CommandSucceededEvent:
    return events.CommandSucceededEvent(name, "db", request, 1, ADDRESS, 1)


def _names(log: EventLog) -> list[str]:
    return [observed.event.command_name for observed in log.events]


def test_every_event_of_the_format_has_its_event_of_the_driver() -> None:
    classes = [cls for name, cls in vars(events).items() if name.endswith("Event")]
    assert set(EVENT_FIELDS) <= {spec_name(object.__new__(cls)) for cls in classes}


def test_commands_that_a_test_ignores_and_fail_points_are_left_out() -> None:
    log = _log(ignoreCommandMonitoringEvents=["killCursors"])
    for name in ("find", "killCursors", "configureFailPoint", "ping"):
        log(_started(name, x=1))
    assert _names(log) == ["find", "ping"]


def test_sensitive_commands_are_left_out_unless_the_test_asks_for_them() -> None:
    for asked in (False, True):
        log = _log(observeSensitiveCommands=asked)
        log(_started("saslStart"))
        log(_started("createUser"))
        assert bool(log.events) is asked


def test_a_hello_is_sensitive_only_when_it_was_redacted() -> None:
    log = _log()
    log(_started("hello", 1))
    log(_succeeded("hello", 1))
    log(_started("hello", 2, hello=1))
    log(_succeeded("hello", 2))
    assert [observed.event.request_id for observed in log.events] == [2, 2]


def test_only_observed_kinds_are_kept_and_the_trace_has_every_command() -> None:
    trace = Trace()
    model = ClientEntity.read({"id": "c", "observeEvents": ["commandFailedEvent"]}, "client")
    log = EventLog(model, trace)
    log(_started("find", x=1))
    log(events.PoolReadyEvent(ADDRESS))
    assert log.events == []
    assert [client for _, client, _ in trace.lines] == ["c"]


def test_nothing_is_kept_once_the_log_no_longer_listens() -> None:
    log = _log()
    log.listening = False
    log(_started("find", x=1))
    log.hear_log("command", "debug", {})
    assert (log.events, log.messages) == ([], [])


def test_connections_checked_out_are_counted_whatever_is_observed() -> None:
    log = _log()
    log(events.ConnectionCheckedOutEvent(ADDRESS, 1))
    log(events.ConnectionCheckedOutEvent(ADDRESS, 2))
    log(events.ConnectionCheckedInEvent(ADDRESS, 1))
    assert log.checked_out == 1


@pytest.mark.anyio
async def test_waiting_ends_when_the_event_comes_and_not_before() -> None:
    log = _log()
    woken = anyio.Event()

    async def wait() -> None:
        assert await log.wait_until(lambda: len(log.events) == 2, 5)
        woken.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        log(_started("find", x=1))
        await anyio.wait_all_tasks_blocked()
        assert not woken.is_set()
        log(_started("find", x=1))


@pytest.mark.anyio
async def test_waiting_gives_up_after_its_time() -> None:
    assert not await _log().wait_until(lambda: False, 0.01)


@pytest.mark.anyio
async def test_what_has_happened_already_is_not_waited_for() -> None:
    assert await _log().wait_until(lambda: True, 0)
