"""One test, from its initial data to its outcome.

Rules kept here:

* Whatever happens, fail points are switched off on the server that they were set on, sessions ended, cursors and
  clients closed, and open transactions killed, all under a shield.
* One test does not affect the next.

Unified test format specification, "Executing a Test", "Executing an Operation".
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc

from spec_tests import seam
from spec_tests.capture import Observed, Trace
from spec_tests.entities import (
    ClientHandle,
    CursorHandle,
    EntityFactory,
    EntityMap,
    SessionHandle,
    ThreadHandle,
    kind_of,
)
from spec_tests.environment import Environment
from spec_tests.errors import RunnerError, SpecFailure
from spec_tests.expectations import check_events, check_messages
from spec_tests.expected_errors import check_error
from spec_tests.matching import MISSING, Matcher, operator_of, same_document
from spec_tests.operations import Call, find_operation
from spec_tests.schema import CollectionData, Entity, ExpectedEvents, Operation, TestCase, TestFile
from spec_tests.tracing import check_spans

_CLEAN_UP_SECONDS = 20.0
_FAIL_POINT_OPERATIONS = frozenset({"failPoint", "targetedFailPoint"})
_TRANSACTION_OPERATIONS = frozenset({"startTransaction", "withTransaction"})


@dataclass(slots=True)
class TestRun:
    """The state of one test while it runs."""

    __test__ = False

    environment: Environment
    file: TestFile
    test: TestCase
    entities: EntityMap = field(default_factory=EntityMap)
    trace: Trace = field(default_factory=Trace)
    fail_points: list[tuple[str, str]] = field(default_factory=list)
    used_transaction: bool = False
    #: Cursors and change streams that a test opened and did not save.
    unsaved: list[CursorHandle] = field(default_factory=list)
    _tasks: anyio.abc.TaskGroup | None = None
    _factory: EntityFactory | None = None
    _matcher: Matcher | None = None

    @property
    def matcher(self) -> Matcher:
        """The matching rules over this test's entities."""
        if self._matcher is None:
            self._matcher = Matcher(self.entities)
        return self._matcher

    async def carry_out(self) -> None:
        """Run the test. Returns if it passed.

        :raises SpecFailure: an assertion does not hold.
        :raises Unsupported: the driver or the runner lacks something.
        :raises RunnerError: the test cannot be carried out as it is written.
        """
        passed = False
        try:
            await self._prepare()
            await self._operate()
            self._stop_listening()
            await self._end_fail_points()
            self.check_expectations(self.test)
            await self._check_outcome()
            passed = True
        finally:
            with anyio.move_on_after(_CLEAN_UP_SECONDS, shield=True) as scope:
                await self._clean_up(passed)
            if scope.cancelled_caught and passed:
                raise SpecFailure(f"the clean-up of the test did not end within {_CLEAN_UP_SECONDS:.0f} s")

    def check_expectations(self, test: TestCase) -> None:
        """Check what was observed. Mutation tests call it again with a changed ``test``."""
        for index, expected in enumerate(test.expect_events or ()):
            found = check_events(expected, self.observed(expected), self.matcher, f"expectEvents[{index}]")
            if found is not None:
                raise found.failure()
        for index, wanted in enumerate(test.expect_log_messages):
            handle = self.entities.get(wanted.client, ClientHandle)
            path = f"expectLogMessages[{index}]"
            found = check_messages(wanted, handle.log.messages, self.matcher, path)
            if found is not None:
                raise found.failure()
        for index, spans in enumerate(test.expect_tracing_messages):
            handle = self.entities.get(spans.client, ClientHandle)
            if handle.spans is None:
                raise RunnerError(f"the spans of {handle.model.id} are not observed")
            found = check_spans(spans, handle.spans.trees, self.matcher, f"expectTracingMessages[{index}]")
            if found is not None:
                raise found.failure()

    def observed(self, expected: ExpectedEvents) -> list[Observed]:
        """The events that an expectation is about."""
        return self.entities.get(expected.client, ClientHandle).log.of_family(expected.event_type)

    async def create_entity(self, model: Entity) -> None:
        """Create an entity; a thread starts immediately and waits for work."""
        if self._factory is None or self._tasks is None:
            raise RunnerError("entities can only be created while the test runs")
        await self._factory.create(model)
        entity = self.entities.any(model.id)
        if isinstance(entity, ThreadHandle):
            self._tasks.start_soon(self._serve, entity)

    async def execute(self, operation: Operation, path: str = "", *, propagate: bool = False) -> None:
        """Carry out one operation and check what it did.

        :param propagate: let the driver's errors go on to ``with_transaction``, also those that were expected.
        """
        special = operation.object == "testRunner"
        target = None if special else self.entities.any(operation.object)
        kind = "testRunner" if special else kind_of(target)
        spec = find_operation(kind, operation.name)
        spec.check(operation.name, operation.arguments)
        if operation.name in _TRANSACTION_OPERATIONS:
            self.used_transaction = True
        where = f"{path} {operation.name}".strip()
        try:
            # A copy: drivers put an _id on documents that lack one, and the models are shared by all runs.
            result = await spec.run(Call(self, target, operation.name, deepcopy(operation.arguments)))
        except seam.OPERATION_ERRORS as error:
            self._check_error(operation, error, where, propagate)
            return
        if operation.ignore_result_and_error:
            return
        self._check_result(operation, result, where, rows=spec.rows)

    def _check_error(self, operation: Operation, error: BaseException, path: str, propagate: bool) -> None:
        if operation.expect_error is not None:
            found = check_error(operation.expect_error, error, self.matcher, f"{path}.expectError")
            if found is not None:
                raise found.failure() from error
        if propagate:
            raise error
        if operation.expect_error is None and not operation.ignore_result_and_error:
            raise SpecFailure(f"unexpected {type(error).__name__}: {error}", path, "no error", error) from error

    def _check_result(self, operation: Operation, result: Any, path: str, *, rows: bool) -> None:
        if isinstance(result, CursorHandle) and operation.save_result_as_entity is None:
            self.unsaved.append(result)
        if operation.expect_error is not None:
            raise SpecFailure("expected an error, and there was none", f"{path}.expectError", "an error", result)
        if operation.has_expect_result:
            expected = operation.expect_result
            # An operation that returns nothing has an unset result, not a null one.
            unset = result is None and operator_of(expected) == "$$unsetOrMatches"
            match = self.matcher.match_rows if rows else self.matcher.match
            found = match(expected, MISSING if unset else result, f"{path}.expectResult")
            if found is not None:
                raise found.failure()
        if operation.save_result_as_entity is not None:
            if result is None:
                raise RunnerError(f"{operation.name} returned nothing that could be saved")
            self.entities.add(operation.save_result_as_entity, result)

    async def _prepare(self) -> None:
        environment = self.environment
        await environment.internal.reset(self.file.initial_data)
        cluster_time = None
        if environment.deployment.topology in ("sharded", "load-balanced"):
            cluster_time = await environment.internal.cluster_time()
            if any(operation.name == "distinct" for operation in self.test.operations):
                await environment.internal.warm_distinct(self.file.initial_data)
        self._factory = EntityFactory(
            self.entities,
            environment.uri,
            self.trace,
            environment.deployment.topology,
            cluster_time,
            fail_points=any(operation.name in _FAIL_POINT_OPERATIONS for operation in self.test.operations),
        )

    async def _operate(self) -> None:
        failure: Exception | None = None
        async with anyio.create_task_group() as self._tasks:
            try:
                for model in self.file.create_entities:
                    await self.create_entity(model)
                for index, operation in enumerate(self.test.operations):
                    await self.execute(operation, f"operations[{index}]")
            except Exception as error:  # raised again outside of the group, which would wrap it
                failure = error
            self._tasks.cancel_scope.cancel()
        self._tasks = None
        for thread in self.entities.all(ThreadHandle):
            thread.send.close()
            thread.receive.close()
            failure = failure or thread.error
        if failure is not None:
            raise failure

    async def _serve(self, thread: ThreadHandle) -> None:
        try:
            async for operation in thread.receive:
                await self.execute(operation, "thread")
        except Exception as error:  # reported by waitForThread, and at the end of the test
            thread.error = error
        finally:
            thread.done.set()

    async def _check_outcome(self) -> None:
        for index, data in enumerate(self.test.outcome):
            actual = await self.environment.internal.documents(data)
            expected = [dict(document) for document in data.documents]
            if not same_document(expected, actual):
                raise _outcome_failure(index, data, expected, actual)

    def _stop_listening(self) -> None:
        for handle in self.entities.all(ClientHandle):
            handle.log.listening = False

    async def _end_fail_points(self) -> None:
        while self.fail_points:
            address, name = self.fail_points[-1]
            await self.environment.internal.end_fail_point(address, name)
            self.fail_points.pop()

    async def _clean_up(self, passed: bool) -> None:
        problems: list[Exception] = []
        self._stop_listening()

        async def attempt(function: Any, *arguments: Any) -> None:
            try:
                await seam.settle(function(*arguments))
            except Exception as error:  # the rest of the clean-up must still happen
                problems.append(error)

        await attempt(self._end_fail_points)
        for cursor in (*self.entities.all(CursorHandle), *self.unsaved):
            await attempt(cursor.cursor.close)
        for session in self.entities.all(SessionHandle):
            await attempt(session.session.end_session)
        for client in self.entities.all(ClientHandle):
            await attempt(client.client.close)
        if self.used_transaction or not passed:
            await attempt(self.environment.internal.kill_all_sessions)
        if passed and problems:
            raise SpecFailure(f"clean-up failed: {problems[0]!r}") from problems[0]


def _outcome_failure(index: int, data: CollectionData, expected: Any, actual: Any) -> SpecFailure:
    namespace = f"{data.database_name}.{data.collection_name}"
    return SpecFailure(f"{namespace} holds other documents", f"outcome[{index}].documents", expected, actual)
