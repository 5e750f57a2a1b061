"""The spans of a traced client, against a fake server. OpenTelemetry specification."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import anyio
import pytest
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

import wiredrv
from tests.support.fake_server import FakeServer, fine, with_sessions
from tests.support.spans import SpanWatch
from wiredrv import Client, events
from wiredrv.errors import BulkWriteError, InvalidDocument, OperationFailure, ServerSelectionTimeoutError
from wiredrv.execution.executor import Executor
from wiredrv.tracing import spans as traced_spans

pytestmark = pytest.mark.anyio

SECRET = "hunter2secret"


def answer(command: dict[str, Any]) -> Mapping[str, Any]:
    match command:
        case {"createUser": _, **rest}:
            return {"ok": 0, "code": 9, "errmsg": f"cannot parse {rest}"}
        case {"collMod": _}:
            return {"ok": 0, "code": 72, "codeName": "InvalidOptions", "errmsg": "unknown option"}
        case {"drop": _}:
            return {"ok": 0, "code": 26, "errmsg": "ns not found"}
        case {"update": _}:
            return {"ok": 1, "n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": "duplicate"}]}
        case {"insert": _, "documents": documents, **rest} if rest.get("comment") == "twice":
            return {"ok": 1, "n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": str(documents)}]}
    return fine(command)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(with_sessions(), answer) as fake:
        yield fake


@pytest.fixture
def watch() -> Iterator[SpanWatch]:
    """Every span that a test starts is ended."""
    watch = SpanWatch()
    yield watch
    assert watch.open == []


@pytest.fixture
async def client(server: FakeServer, watch: SpanWatch) -> AsyncIterator[Client]:
    async with Client(server.uri, tracing=watch.option(1000)) as traced:
        yield traced


async def test_an_operation_has_a_span_with_its_command_below(client: Client, watch: SpanWatch) -> None:
    with watch.request("request"):
        await client.shop.orders.find_one({"sku": "abc"})
    assert watch.outline == [("request", ("find shop.orders", "find"))]
    assert {span.kind for span in watch.finished if span.name != "request"} == {SpanKind.CLIENT}
    assert watch.one("find").attributes is not None
    text = (watch.one("find").attributes or {})["db.query.text"]
    assert text == '{"find": "orders", "filter": {"sku": "abc"}, "limit": 1, "singleBatch": true}'
    scope = watch.one("find").instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version) == ("wiredrv", wiredrv.__version__)
    assert watch.failed() == []


async def test_the_query_text_is_off_by_default(server: FakeServer, watch: SpanWatch) -> None:
    async with Client(server.uri, tracing=watch.option()) as client:
        await client.shop.orders.find_one({})
    assert "db.query.text" not in watch.everything()


async def test_listeners_and_logs_find_the_span_of_the_operation(server: FakeServer, watch: SpanWatch) -> None:
    seen: list[Any] = []

    def listen(event: object) -> None:
        if isinstance(event, events.CommandEvent) and event.command_name == "find":
            seen.append(trace.get_current_span().get_span_context())

    async with Client(server.uri, tracing=watch.option(), event_listeners=[listen]) as client:
        await client.shop.orders.find_one({})
    assert seen == [watch.one("find shop.orders").context] * 2
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_concurrent_operations_hang_below_their_own_parents(client: Client, watch: SpanWatch) -> None:
    async def work(number: int) -> None:
        with watch.request(f"request {number}"):
            await client.shop[f"c{number}"].find_one({})
            await client.shop[f"c{number}"].insert_one({})

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(work, number)
    assert sorted(watch.outline) == sorted(
        (f"request {n}", (f"find shop.c{n}", "find"), (f"insert shop.c{n}", "insert")) for n in range(100)
    )


async def test_an_error_of_the_server_is_recorded_on_both_spans(client: Client, watch: SpanWatch) -> None:
    with pytest.raises(OperationFailure):
        await client.shop.command("collMod", "orders", what=1)
    command, operation = watch.finished
    assert (command.name, operation.name) == ("collMod", "runCommand shop")
    for span in watch.finished:
        attributes = span.attributes or {}
        assert attributes["exception.type"] == "wiredrv.errors.OperationFailure"
        assert "unknown option" in str(attributes["exception.message"])
        assert span.status.status_code is StatusCode.ERROR
        assert "OperationFailure: " in str(span.status.description)
        assert [event.name for event in span.events] == ["exception"]
    # An error that was raised knows how it came here, and one that was not yet, where the command was called.
    assert "in execute\n" in str((operation.attributes or {})["exception.stacktrace"])
    assert "in test_an_error_of_the_server" in str((command.attributes or {})["exception.stacktrace"])
    assert (command.attributes or {})["db.response.status_code"] == "72"
    assert (command.attributes or {})["db.collection.name"] == "orders"


async def test_a_write_that_was_refused_has_its_code_on_the_command(client: Client, watch: SpanWatch) -> None:
    with pytest.raises(wiredrv.errors.DuplicateKeyError):
        await client.shop.orders.update_one({}, {"$set": {"x": 1}})
    assert watch.failed() == ["update shop.orders"]
    assert (watch.one("update").attributes or {})["db.response.status_code"] == "11000"


async def test_a_collection_that_does_not_exist_is_dropped_without_an_error(client: Client, watch: SpanWatch) -> None:
    await client.shop.drop_collection("orders")
    assert watch.outline == [("dropCollection shop.orders", "drop")]
    assert watch.failed() == ["drop"]


async def test_secrets_are_in_no_span(client: Client, watch: SpanWatch) -> None:
    with pytest.raises(OperationFailure, match=SECRET):
        await client.shop.command({"createUser": "alice", "pwd": SECRET, "roles": []})
    assert watch.outline == ["runCommand shop"]
    assert watch.failed() == ["runCommand shop"]
    assert SECRET not in watch.everything()
    assert "(redacted)" in watch.everything()


async def test_no_command_is_sent_and_there_is_no_server(watch: SpanWatch) -> None:
    async with Client("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=1, tracing=watch.option()) as client:
        with pytest.raises(ServerSelectionTimeoutError):
            await client.shop.orders.find_one({})
    assert watch.outline == ["find shop.orders"]
    assert watch.failed() == ["find shop.orders"]


async def test_a_command_that_cannot_be_encoded_has_no_span(client: Client, watch: SpanWatch) -> None:
    with pytest.raises(InvalidDocument):
        await client.shop.orders.insert_one({"x": object()})
    assert watch.outline == ["insert shop.orders"]
    assert watch.failed() == ["insert shop.orders"]


async def test_a_write_without_an_answer_has_its_span(client: Client, watch: SpanWatch) -> None:
    orders = client.shop.get_collection("orders", write_concern=wiredrv.WriteConcern(w=0))
    await orders.insert_one({})
    assert watch.outline == [("insert shop.orders", "insert")]


@pytest.mark.parametrize("with_session", [False, True])
async def test_a_bulk_is_one_operation(
    server: FakeServer, client: Client, watch: SpanWatch, with_session: bool
) -> None:
    server.hello["maxWriteBatchSize"] = 2
    orders = client.shop.orders
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(client.start_session()) if with_session else None
        await orders.insert_many([{}, {}, {}], session=session)
        await orders.bulk_write([wiredrv.InsertOne({}), wiredrv.DeleteOne({})], session=session)
        with pytest.raises(BulkWriteError):
            await orders.insert_many([{"x": 1}], comment="twice", session=session)
        await orders.find_one({}, session=session)
    assert watch.outline == [
        ("insert shop.orders", "insert", "insert"),
        ("bulkWrite shop.orders", "insert", "delete"),
        ("insert shop.orders", "insert"),
        ("find shop.orders", "find"),
    ]
    assert watch.failed() == ["insert shop.orders"]


async def test_nothing_is_traced_where_that_is_suppressed(client: Client, watch: SpanWatch) -> None:
    """As by ``suppress_instrumentation()``, and while an exporter of the SDK works."""
    for key in ("suppress_instrumentation", contexts._SUPPRESS_INSTRUMENTATION_KEY):
        token = contexts.attach(contexts.set_value(key, True))
        await client.shop.orders.find_one({})
        await client.shop.orders.insert_many([{}, {}])
        async with client.start_session() as session, session.start_transaction():
            pass
        contexts.detach(token)
    assert watch.finished == ()
    await client.shop.orders.find_one({})
    assert watch.outline == [("find shop.orders", "find")]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_a_coroutine_that_is_closed_midway_ends_its_spans(
    client: Client, watch: SpanWatch, anyio_backend: str
) -> None:
    await client.shop.orders.find_one({})
    watch.clear()
    coroutine = client.shop.orders.find_one({})
    coroutine.send(None)  # it waits for the reply
    coroutine.close()
    assert watch.outline == [("find shop.orders", "find")]
    assert watch.failed() == ["find", "find shop.orders"]
    assert trace.get_current_span() is trace.INVALID_SPAN


class Broken(SpanProcessor):
    """Raises where it is called."""

    def __init__(self, when: str) -> None:
        self._when = when

    def on_start(self, span: object, parent_context: object = None) -> None:
        if self._when == "on_start":
            raise RuntimeError("broken")

    def on_end(self, span: ReadableSpan) -> None:
        if self._when == "on_end":
            raise RuntimeError("broken")


@pytest.mark.parametrize("command", [{}, {1: 1}, {"ping": 1, 2: 2}, {"": 1}])
async def test_a_command_of_a_strange_shape_fails_as_without_tracing(
    server: FakeServer, watch: SpanWatch, command: Any
) -> None:
    outcomes = []
    for tracing in (None, watch.option(100)):
        async with Client(server.uri, tracing=tracing) as client:
            try:
                outcomes.append(str(await client.shop.command(command)))
            except wiredrv.errors.DriverError as error:
                outcomes.append(repr(error))
    assert outcomes[0] == outcomes[1]


async def test_an_error_that_cannot_be_printed_is_recorded_without_its_text(
    client: Client, watch: SpanWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> str:
        raise RuntimeError("it cannot be printed")

    monkeypatch.setattr(OperationFailure, "__str__", fail)
    with pytest.raises(OperationFailure):
        await client.shop.command("collMod", "orders")
    assert watch.outline == [("runCommand shop", "collMod")]
    assert watch.failed() == ["collMod", "runCommand shop"]


@pytest.mark.parametrize("when", ["on_start", "on_end"])
async def test_tracing_that_fails_changes_no_outcome(
    server: FakeServer, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    watch = SpanWatch()
    watch.provider.add_span_processor(Broken(when))
    async with Client(server.uri, tracing=watch.option(100)) as client:
        with caplog.at_level(logging.ERROR):
            assert await client.shop.orders.find_one({}) is None
            await client.shop.orders.insert_many([{}, {}])
            async with client.start_session() as session:
                with pytest.raises(wiredrv.errors.InvalidOperation):
                    async with session.start_transaction():
                        await client.shop.orders.find_one({}, session=session)
    assert {record.name for record in caplog.records} == {"wiredrv.tracing", "wiredrv.events"}
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_of_a_span_that_the_sampler_drops_nothing_is_built(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise AssertionError("built for nothing")

    for name in ("query_text", "exception_attributes", "opened_cursor", "refused_writes"):
        monkeypatch.setattr(traced_spans, name, refuse)
    watch = SpanWatch(ALWAYS_OFF)
    async with Client(server.uri, tracing=watch.option(100)) as client:
        assert await client.shop.orders.find_one({}) is None
        with pytest.raises(OperationFailure, match="unknown option"):
            await client.shop.command("collMod", "orders")
    assert watch.finished == ()


async def test_a_client_that_is_not_traced_has_the_plain_executor(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for enabled in (None, False):
        monkeypatch.setenv("OTEL_PYTHON_INSTRUMENTATION_MONGODB_ENABLED", "true" if enabled is False else "no")
        options: Any = {} if enabled is None else {"tracing": {"enabled": enabled}}
        async with Client(server.uri, **options) as client:
            assert type(client._core.executor) is Executor
            assert client._core.hub.command == ()


# --- without the packages: in programs of their own ---

_WITHOUT = """
import sys, warnings

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r} or name.startswith({package!r} + "."):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
import asyncio
import wiredrv

async def main(**options):
    async with wiredrv.Client({uri!r}, **options) as client:
        return await client.shop.orders.find_one({{}})
"""


def _run(program: str, package: str, server: FakeServer, **environment: str) -> str:
    program = _WITHOUT.format(package=package, uri=server.uri) + program
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout + finished.stderr


def test_without_an_sdk_the_api_does_nothing(server: FakeServer) -> None:
    told = _run(
        "print(asyncio.run(main(tracing={'enabled': True, 'query_text_max_length': 9})))\n"
        "print('opentelemetry.trace' in sys.modules, 'opentelemetry.sdk' in sys.modules)",
        "opentelemetry.sdk",
        server,
    )
    assert told == "None\nTrue False\n"


def test_without_the_api_the_error_names_the_extra(server: FakeServer) -> None:
    told = _run(
        "try:\n    wiredrv.Client(tracing={'enabled': True})\n"
        "except wiredrv.errors.ConfigurationError as error:\n    print(error)",
        "opentelemetry",
        server,
    )
    assert told == "tracing needs the package opentelemetry-api: install it with `pip install 'wiredrv[otel]'`\n"


def test_without_the_api_the_environment_only_causes_a_warning(server: FakeServer) -> None:
    told = _run(
        "print(asyncio.run(main()))",
        "opentelemetry",
        server,
        OTEL_PYTHON_INSTRUMENTATION_MONGODB_ENABLED="true",
    )
    assert told.startswith("None\n")
    assert "ConfigurationWarning: OTEL_PYTHON_INSTRUMENTATION_MONGODB_ENABLED is set, and tracing needs" in told


def test_without_the_api_a_client_that_is_not_traced_works(server: FakeServer) -> None:
    assert _run("print(asyncio.run(main()))", "opentelemetry", server) == "None\n"
