"""Operations of the test runner itself. Unified test format specification, "Special Test Operations".

If one fails, so does the test; an error that the driver raises in one is always unexpected.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import anyio

from spec_tests import seam
from spec_tests.entities import ClientHandle, SessionHandle, ThreadHandle, TopologyHandle
from spec_tests.errors import RunnerError, SpecFailure
from spec_tests.expectations import check_event
from spec_tests.operations.base import Call, Spec
from spec_tests.schema import ExpectedEvent, Operation, read_entities
from wiredrv import events

#: Seconds that an event, a thread or a new primary may take. The format says 10; some files are run at a slower pace.
_WAIT = 40.0
_STATES = ("none", "starting", "in_progress", "committed", "aborted")


# --- fail points -------------------------------------------------------------------------------------------------


async def _fail_point(call: Call) -> None:
    handle = call.run.entities.get(call.arguments["client"], ClientHandle)
    command = _fail_point_command(call)
    session = call.arguments.get("session")
    extra = {} if session is None else {"session": call.run.entities.get(session, SessionHandle).session}
    database = handle.client.get_database("admin")
    seen = len(call.run.trace.lines)
    await database.command(command, read_preference=seam.public("ReadPreference").PRIMARY, **extra)
    address = next(
        str(event.address)
        for _, client, event in call.run.trace.lines[seen:]
        if client == handle.log.client
        and isinstance(event, events.CommandSucceededEvent)
        and event.command_name == "configureFailPoint"
    )
    call.run.fail_points.append((address, command["configureFailPoint"]))


async def _targeted_fail_point(call: Call) -> None:
    handle = _session(call)
    address = seam.introspect("pinned_address")(handle.session)
    if address is None:
        raise SpecFailure("targetedFailPoint needs a pinned session, and this one is not")
    command = _fail_point_command(call)
    await call.run.environment.internal.set_fail_point(str(address), command)
    call.run.fail_points.append((str(address), command["configureFailPoint"]))


def _fail_point_command(call: Call) -> dict[str, Any]:
    command = call.arguments["failPoint"]
    if not isinstance(command, Mapping) or "configureFailPoint" not in command:
        raise RunnerError(f"failPoint must be a configureFailPoint command, not {command!r}")
    return dict(command)


# --- sessions ----------------------------------------------------------------------------------------------------


def _session(call: Call) -> SessionHandle:
    return call.run.entities.get(call.arguments["session"], SessionHandle)


async def _assert_transaction_state(call: Call) -> None:
    wanted = call.arguments["state"]
    if wanted not in _STATES:
        raise RunnerError(f"{wanted!r} is no transaction state: they are {', '.join(_STATES)}")
    actual = seam.introspect("transaction_state")(_session(call).session)
    if actual != wanted:
        raise SpecFailure(f"the transaction is {actual}", "state", wanted, actual)


def _assert_pinned(wanted: bool) -> Any:
    async def run(call: Call) -> None:
        pinned = seam.introspect("pinned_address")(_session(call).session)
        if (pinned is not None) is not wanted:
            state = f"pinned to {pinned}" if pinned is not None else "not pinned"
            raise SpecFailure(f"the session {call.arguments['session']} is {state}", "pinned", wanted, not wanted)

    return run


def _assert_dirty(wanted: bool) -> Any:
    async def run(call: Call) -> None:
        dirty = bool(seam.introspect("session_dirty")(_session(call).session))
        if dirty is not wanted:
            raise SpecFailure(f"dirty is {dirty}", "dirty", wanted, dirty)

    return run


def _assert_lsids(same: bool) -> Any:
    async def run(call: Call) -> None:
        handle = call.run.entities.get(call.arguments["client"], ClientHandle)
        started = [o.event for o in handle.log.events if o.name == "commandStartedEvent"][-2:]
        if len(started) < 2:
            raise SpecFailure(f"fewer than two commands were observed: {len(started)}")
        lsids = [event.command.get("lsid") for event in started]
        if None in lsids:
            raise SpecFailure("one of the last two commands has no lsid", "lsid", "two lsids", lsids)
        if (lsids[0] == lsids[1]) is not same:
            word = "differ" if same else "are the same"
            raise SpecFailure(f"the lsids of the last two commands {word}", "lsid", None, lsids)

    return run


# --- data --------------------------------------------------------------------------------------------------------


def _assert_collection(wanted: bool) -> Any:
    async def run(call: Call) -> None:
        names = await call.run.environment.internal.collection_names(call.arguments["databaseName"])
        if (call.arguments["collectionName"] in names) is not wanted:
            text = "does not exist" if wanted else "exists"
            raise SpecFailure(f"the collection {call.arguments['collectionName']} {text}", "", wanted, names)

    return run


def _assert_index(wanted: bool) -> Any:
    async def run(call: Call) -> None:
        database, collection = call.arguments["databaseName"], call.arguments["collectionName"]
        names = await call.run.environment.internal.index_names(database, collection)
        if (call.arguments["indexName"] in names) is not wanted:
            text = "does not exist" if wanted else "exists"
            raise SpecFailure(f"the index {call.arguments['indexName']} {text}", "", wanted, names)

    return run


# --- events and connections --------------------------------------------------------------------------------------


def _counter(call: Call) -> tuple[ClientHandle, ExpectedEvent, Any]:
    handle = call.run.entities.get(call.arguments["client"], ClientHandle)
    event = ExpectedEvent.read(call.arguments["event"], "event")

    def count() -> int:
        matcher = call.run.matcher
        return sum(check_event(event, observed, matcher) is None for observed in handle.log.events)

    return handle, event, count


async def _wait_for_event(call: Call) -> None:
    handle, event, count = _counter(call)
    wanted = call.arguments["count"]
    if not await handle.log.wait_until(lambda: count() >= wanted, _WAIT):
        text = f"{event.name} came {count()} time(s), not {wanted}, within {_WAIT:.0f} s"
        raise SpecFailure(text, "count", {event.name: dict(event.assertions)}, count())


async def _assert_event_count(call: Call) -> None:
    _, event, count = _counter(call)
    if count() != call.arguments["count"]:
        text = f"{event.name} came {count()} time(s), not {call.arguments['count']}"
        raise SpecFailure(text, "count", call.arguments["count"], count())


async def _assert_checked_out(call: Call) -> None:
    handle = call.run.entities.get(call.arguments["client"], ClientHandle)
    wanted = call.arguments["connections"]
    if handle.log.checked_out != wanted:
        text = f"{handle.log.checked_out} connection(s) are checked out, not {wanted}"
        raise SpecFailure(text, "connections", wanted, handle.log.checked_out)


# --- topology ----------------------------------------------------------------------------------------------------


async def _record_topology(call: Call) -> None:
    handle = call.run.entities.get(call.arguments["client"], ClientHandle)
    description = seam.introspect("topology_description")(handle.client)
    call.run.entities.add(call.arguments["id"], TopologyHandle(description))


async def _assert_topology_type(call: Call) -> None:
    recorded = call.run.entities.get(call.arguments["topologyDescription"], TopologyHandle)
    actual, wanted = recorded.description.topology_type.value, call.arguments["topologyType"]
    if actual != wanted:
        raise SpecFailure(f"the topology is {actual}", "topologyType", wanted, actual)


async def _wait_for_primary_change(call: Call) -> None:
    handle = call.run.entities.get(call.arguments["client"], ClientHandle)
    prior = call.run.entities.get(call.arguments["priorTopologyDescription"], TopologyHandle).description.primary
    describe = seam.introspect("topology_description")

    def changed() -> bool:
        primary = describe(handle.client).primary
        return primary is not None and (prior is None or primary.address != prior.address)

    seconds = call.arguments.get("timeoutMS", _WAIT * 1000) / 1000
    if not await handle.log.wait_until(changed, seconds):
        raise SpecFailure(f"no other primary than {prior} was found within {seconds} s")


# --- the run itself ----------------------------------------------------------------------------------------------


async def _create_entities(call: Call) -> None:
    for model in read_entities(call.arguments["entities"]):
        await call.run.create_entity(model)


async def _run_on_thread(call: Call) -> None:
    handle = call.run.entities.get(call.arguments["thread"], ThreadHandle)
    handle.send.send_nowait(Operation.read(call.arguments["operation"], "operation"))
    # "Immediately": the thread's task gets its turn before the next operation of the test.
    await anyio.lowlevel.checkpoint()


async def _wait_for_thread(call: Call) -> None:
    handle = call.run.entities.get(call.arguments["thread"], ThreadHandle)
    handle.send.close()
    with anyio.move_on_after(_WAIT):
        await handle.done.wait()
    if not handle.done.is_set():
        raise SpecFailure(f"the thread {call.arguments['thread']} did not end within {_WAIT:.0f} s")
    if handle.error is not None:
        raise handle.error


async def _wait(call: Call) -> None:
    await anyio.sleep(call.arguments["ms"] / 1000)


async def _loop(call: Call) -> None:
    """Deprecated since 1.24: repeat operations, here for the environment's ``loop_seconds``."""
    arguments = call.arguments
    stored: dict[str, list[Any]] = {
        arguments[key]: [] for key in ("storeErrorsAsEntity", "storeFailuresAsEntity") if key in arguments
    }
    errors = stored.get(arguments.get("storeErrorsAsEntity", arguments.get("storeFailuresAsEntity", "")))
    failures = stored.get(arguments.get("storeFailuresAsEntity", arguments.get("storeErrorsAsEntity", "")))
    operations = [Operation.read(value, f"operations[{i}]") for i, value in enumerate(arguments["operations"])]
    iterations = successes = 0
    until = time.monotonic() + call.run.environment.loop_seconds
    while iterations == 0 or time.monotonic() < until:
        try:
            for operation in operations:
                await call.run.execute(operation)
                successes += 1
        except SpecFailure as failure:
            kept = failures if failure.__cause__ is None else errors
            if kept is None:
                raise
            kept.append({"error": str(failure), "time": time.time()})
        iterations += 1
    for key, number in (("storeIterationsAsEntity", iterations), ("storeSuccessesAsEntity", successes)):
        if key in arguments:
            call.run.entities.add(arguments[key], number)
    for name, values in stored.items():
        call.run.entities.add(name, values)


def _spec(run: Any, required: str, optional: str = "") -> Spec:
    names = frozenset(required.split())
    return Spec(run, names | frozenset(optional.split()), names)


_NAMESPACE = "databaseName collectionName"
OPERATIONS = {
    "assertCollectionExists": _spec(_assert_collection(True), _NAMESPACE),
    "assertCollectionNotExists": _spec(_assert_collection(False), _NAMESPACE),
    "assertDifferentLsidOnLastTwoCommands": _spec(_assert_lsids(False), "client"),
    "assertEventCount": _spec(_assert_event_count, "client event count"),
    "assertIndexExists": _spec(_assert_index(True), f"{_NAMESPACE} indexName"),
    "assertIndexNotExists": _spec(_assert_index(False), f"{_NAMESPACE} indexName"),
    "assertNumberConnectionsCheckedOut": _spec(_assert_checked_out, "client connections"),
    "assertSameLsidOnLastTwoCommands": _spec(_assert_lsids(True), "client"),
    "assertSessionDirty": _spec(_assert_dirty(True), "session"),
    "assertSessionNotDirty": _spec(_assert_dirty(False), "session"),
    "assertSessionPinned": _spec(_assert_pinned(True), "session"),
    "assertSessionTransactionState": _spec(_assert_transaction_state, "session state"),
    "assertSessionUnpinned": _spec(_assert_pinned(False), "session"),
    "assertTopologyType": _spec(_assert_topology_type, "topologyDescription topologyType"),
    "createEntities": _spec(_create_entities, "entities"),
    "failPoint": _spec(_fail_point, "client failPoint", "session"),
    "loop": _spec(
        _loop,
        "operations",
        "storeErrorsAsEntity storeFailuresAsEntity storeSuccessesAsEntity storeIterationsAsEntity",
    ),
    "recordTopologyDescription": _spec(_record_topology, "client id"),
    "runOnThread": _spec(_run_on_thread, "thread operation"),
    "targetedFailPoint": _spec(_targeted_fail_point, "session failPoint"),
    "wait": _spec(_wait, "ms"),
    "waitForEvent": _spec(_wait_for_event, "client event count"),
    "waitForPrimaryChange": _spec(_wait_for_primary_change, "client priorTopologyDescription", "timeoutMS"),
    "waitForThread": _spec(_wait_for_thread, "thread"),
}
