"""The log of a client, through Python's ``logging``: the prose tests of command logging, and what users see."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

import wiredrv
from tests.support.event_log import EventLog
from tests.support.waiting import until
from wiredrv import events
from wiredrv.errors import NotPrimaryError, OperationFailure, ServerSelectionTimeoutError
from wiredrv.local import Standalone

pytestmark = pytest.mark.anyio

DATABASE = "wiredrv_logging"


class Records(logging.Handler):
    """Keeps the data of every message."""

    def __init__(self) -> None:
        super().__init__()
        self.data: list[dict[str, Any]] = []
        self.levels: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        message: Any = record.msg
        self.data.append(dict(message.data))
        self.levels.append(record.levelno)

    def of(self, message: str, **fields: Any) -> list[dict[str, Any]]:
        """The messages of one text whose fields have these values."""
        return [data for data in self.data if data["message"] == message and data.items() >= fields.items()]


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    """The logger of the component that the test is marked with, restored at the end."""
    logger = logging.getLogger(f"wiredrv.{request.param}")
    level = logger.level
    yield logger
    logger.setLevel(level)


@pytest.fixture
def records(logger: logging.Logger) -> Iterator[Records]:
    """The records of that logger."""
    handler = Records()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def of_component(name: str) -> pytest.MarkDecorator:
    """Make ``logger`` and ``records`` those of a component."""
    return pytest.mark.parametrize("logger", [name], indirect=True)


@of_component("command")
async def test_1_documents_are_cut_off_at_a_thousand_characters(
    standalone: Standalone, logger: logging.Logger, records: Records
) -> None:
    """Command logging and monitoring, prose test 1."""
    logger.setLevel(logging.DEBUG)
    async with wiredrv.Client(standalone.uri) as client:
        things = client[DATABASE].things
        await things.drop()
        await things.insert_many([{"x": "y"} for _ in range(100)])
        assert await things.find().to_list(None)
    assert len(records.of("Command started", commandName="insert")[0]["command"]) == 1003
    assert len(records.of("Command succeeded", commandName="insert")[0]["reply"]) <= 1003
    assert len(records.of("Command succeeded", commandName="find")[0]["reply"]) == 1003


@of_component("command")
async def test_2_the_length_can_be_set(
    standalone: Standalone, logger: logging.Logger, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Command logging and monitoring, prose test 2."""
    monkeypatch.setenv("MONGODB_LOG_MAX_DOCUMENT_LENGTH", "5")
    logger.setLevel(logging.DEBUG)
    async with wiredrv.Client(standalone.uri) as client:
        await client.admin.command({"hello": True})
        with pytest.raises(OperationFailure):
            await client.admin.command({"notARealCommand": True})
    assert len(records.of("Command started", commandName="hello")[0]["command"]) == 8
    assert len(records.of("Command succeeded", commandName="hello")[0]["reply"]) == 8
    (failed,) = records.of("Command failed")
    assert failed["failure"].endswith('reply: {"ok"...')


@of_component("command")
async def test_3_characters_of_many_bytes_are_not_cut_in_two(
    standalone: Standalone, logger: logging.Logger, records: Records
) -> None:
    """Command logging and monitoring, prose test 3; each character counts as one."""
    logger.setLevel(logging.DEBUG)
    text = "\u6f22\U0001f600" * 1000
    async with wiredrv.Client(standalone.uri) as client:
        things = client[DATABASE].things
        await things.replace_one({"_id": "wide"}, {"text": text}, upsert=True)
        assert await things.find_one({"_id": "wide"})
        with pytest.raises(OperationFailure):
            await client.admin.command({"notARealCommand": text})
    shown = [
        records.of("Command started", commandName="update")[0]["command"],
        records.of("Command succeeded", commandName="find")[0]["reply"],
        records.of("Command started", commandName="notARealCommand")[0]["command"],
    ]
    for document in shown:
        assert len(document) == 1003
        document.encode("utf-8")


@of_component("command")
async def test_contents_of_sensitive_commands_are_not_in_the_log(
    standalone: Standalone, logger: logging.Logger, records: Records
) -> None:
    """Command logging and monitoring, "Security"."""
    logger.setLevel(logging.DEBUG)
    async with wiredrv.Client(standalone.uri) as client:
        with pytest.raises((OperationFailure, NotPrimaryError)):
            await client.admin.command({"createUser": "somebody", "pwd": "s3cret", "roles": [{"role": "nonsense"}]})
    (started,) = records.of("Command started", commandName="createUser")
    (failed,) = records.of("Command failed", commandName="createUser")
    assert started["command"] == "{}"
    assert "(redacted)" in failed["failure"]
    assert not [data for data in records.data if "s3cret" in str(data) or "somebody" in str(data)]


@of_component("command")
async def test_a_bulk_of_many_commands_has_one_operation_id(
    standalone: Standalone, logger: logging.Logger, records: Records
) -> None:
    """Command logging and monitoring, "Bulk Writes"."""
    logger.setLevel(logging.DEBUG)
    async with wiredrv.Client(standalone.uri) as client:
        await client[DATABASE].things.bulk_write(
            [wiredrv.InsertOne({"a": 1}), wiredrv.DeleteOne({"a": 1}), wiredrv.InsertOne({"a": 2})]
        )
        await client.admin.command({"ping": 1})
    bulk = [data["operationId"] for data in records.data if data["commandName"] in ("insert", "delete")]
    (ping,) = records.of("Command started", commandName="ping")
    assert len(bulk) == 6
    assert len(set(bulk)) == 1
    assert ping["operationId"] not in bulk


@of_component("serverSelection")
async def test_waiting_for_a_server_is_told_once_and_on_the_level_of_information(
    logger: logging.Logger, records: Records
) -> None:
    """Server selection, "Waiting for suitable server to become available"."""
    logger.setLevel(logging.INFO)
    async with wiredrv.Client("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=700) as client:
        with pytest.raises(ServerSelectionTimeoutError):
            await client.admin.command({"ping": 1})
    assert records.levels == [logging.INFO]
    (waiting,) = records.data
    assert waiting["operation"] == "ping"
    assert 600 <= waiting["remainingTimeMS"] <= 700


@of_component("serverSelection")
async def test_each_selection_is_told_although_its_answer_is_known(
    standalone: Standalone, logger: logging.Logger, records: Records
) -> None:
    """Server selection, "Logging": also for selections that succeed at once."""
    async with wiredrv.Client(standalone.uri, heartbeatFrequencyMS=500) as client:
        for _ in range(3):
            await client.admin.command({"ping": 1})
        assert records.data == [], "nobody has asked"
        logger.setLevel(logging.DEBUG)
        await until(lambda: bool(client._core.hub.selection), "the level is seen")
        for _ in range(3):
            await client.admin.command({"ping": 1})
        assert len(records.of("Server selection started", operation="ping")) == 3
        assert len(records.of("Server selection succeeded", operation="ping")) == 3
        seen = len(records.data)
        logger.setLevel(logging.WARNING)
        await client.admin.command({"ping": 1})
        assert len(records.data) == seen


@of_component("topology")
async def test_a_level_that_changes_while_a_client_is_open_takes_effect_with_the_next_check(
    standalone: Standalone, logger: logging.Logger, records: Records
) -> None:
    log = EventLog()
    async with wiredrv.Client(standalone.uri, event_listeners=[log], heartbeatFrequencyMS=500):
        await log.wait_for(events.ServerHeartbeatSucceededEvent)
        assert records.data == []
        logger.setLevel(logging.DEBUG)
        await until(lambda: bool(records.of("Server heartbeat succeeded")), "heartbeats are logged")
    started, succeeded = records.data[:2]
    assert (started["message"], succeeded["message"]) == ("Server heartbeat started", "Server heartbeat succeeded")
    assert started["serverConnectionId"] == succeeded["serverConnectionId"]
    assert records.data[-1]["message"] == "Stopped topology monitoring"
