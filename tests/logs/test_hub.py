"""The logging listener is active while its loggers are enabled, and only then."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from wiredrv import events
from wiredrv.description import TopologyDescription
from wiredrv.logs.hub import FAMILIES, LoggingHub
from wiredrv.types import Address

HERE = Address("db.example")
COMPONENTS = sorted({component for component, _ in FAMILIES.values()})


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """Restores the levels after each test; no level is set above ``wiredrv``."""
    loggers = [logging.getLogger(name) for name in ("wiredrv", *(f"wiredrv.{component}" for component in COMPONENTS))]
    before = [logger.level for logger in loggers]
    logging.getLogger("wiredrv").setLevel(logging.WARNING)
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def _heard(hub: LoggingHub) -> set[str]:
    return {family for family in FAMILIES if getattr(hub, family)}


def test_the_components_are_those_of_the_specification_and_one_for_sessions() -> None:
    assert COMPONENTS == ["command", "connection", "serverSelection", "session", "topology"]


@pytest.mark.parametrize(
    "logger, level, families",
    [
        ("wiredrv", logging.WARNING, set()),
        ("wiredrv", logging.INFO, {"session", "waiting"}),
        ("wiredrv", logging.DEBUG, set(FAMILIES)),
        ("wiredrv.command", logging.DEBUG, {"command"}),
        ("wiredrv.connection", logging.DEBUG, {"pool"}),
        ("wiredrv.topology", logging.DEBUG, {"topology", "heartbeat"}),
        ("wiredrv.session", logging.INFO, {"session"}),
        ("wiredrv.serverSelection", logging.INFO, {"waiting"}),
        ("wiredrv.serverSelection", logging.DEBUG, {"selection", "waiting"}),
    ],
)
def test_a_family_is_heard_while_its_logger_is_enabled(logger: str, level: int, families: set[str]) -> None:
    hub = LoggingHub()
    logging.getLogger(logger).setLevel(level)
    assert _heard(hub) == set(), "nobody has looked yet"
    hub.refresh()
    hub.refresh()
    assert _heard(hub) == families
    assert all(len(getattr(hub, family)) == 1 for family in families)
    logging.getLogger(logger).setLevel(logging.ERROR)
    hub.refresh()
    assert _heard(hub) == set()


def test_listeners_of_the_user_stay_when_the_log_goes() -> None:
    seen: list[Any] = []
    hub = LoggingHub([seen.append])
    logging.getLogger("wiredrv.connection").setLevel(logging.DEBUG)
    hub.refresh()
    assert len(hub.pool) == 2
    logging.getLogger("wiredrv.connection").setLevel(logging.NOTSET)
    hub.refresh()
    hub.publish(hub.pool, events.PoolReadyEvent(HERE))
    assert [type(event) for event in seen] == [events.PoolReadyEvent]


def test_no_listener_of_a_user_hears_of_selections() -> None:
    hub = LoggingHub([lambda event: None])
    assert (hub.selection, hub.waiting) == ((), ())


def test_records_bear_the_components_name_the_level_and_the_data(caplog: pytest.LogCaptureFixture) -> None:
    hub = LoggingHub()
    with caplog.at_level(logging.DEBUG, "wiredrv"):
        hub.refresh()
        hub.publish(hub.pool, events.ConnectionCreatedEvent(HERE, 3))
        waiting = events.ServerSelectionEvent("waiting", "any", "find", 0, TopologyDescription(), remaining=1.0)
        hub.publish(hub.waiting, waiting)
    created, waits = caplog.records
    assert (created.name, created.levelno) == ("wiredrv.connection", logging.DEBUG)
    assert (waits.name, waits.levelno) == ("wiredrv.serverSelection", logging.INFO)
    message: Any = created.msg
    assert message.data["driverConnectionId"] == 3
    assert created.getMessage().startswith("Connection created: serverHost=db.example")


def test_the_length_of_documents_comes_from_the_environment(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_LOG_MAX_DOCUMENT_LENGTH", "5")
    hub = LoggingHub()
    with caplog.at_level(logging.DEBUG, "wiredrv.command"):
        hub.refresh()
        started = events.CommandStartedEvent("hello", "admin", 1, 1, HERE, 1, command={"hello": True})
        hub.publish(hub.command, started)
    message: Any = caplog.records[0].msg
    assert message.data["command"] == '{"hel...'


def test_whoever_never_logs_loads_nothing_for_it() -> None:
    program = (
        "import sys, wiredrv\n"
        "client = wiredrv.Client('mongodb://localhost')\n"
        "client._core.hub.refresh()\n"
        "sys.exit('wiredrv.logs.messages' in sys.modules or 'bson.json_util' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
