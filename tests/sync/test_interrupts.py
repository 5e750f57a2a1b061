"""A Ctrl-C anywhere in the driver: the call ends, and the client and its sessions can be used afterwards."""

from __future__ import annotations

import dis
import functools
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import pytest

import wiredrv
from tests.support.fake_server import FakeServer, fine, with_sessions
from wiredrv.local import ReplicaSet
from wiredrv.sync import Client

_PACKAGE = wiredrv.__file__.removesuffix("__init__.py")


@functools.cache
def checkpoints(code: CodeType) -> frozenset[int]:
    """Where Python looks for signals: after a call of a C function, and before a jump back. (And in each call.)"""
    found, before = set(), ""
    for instruction in dis.get_instructions(code):
        if before.startswith("CALL") or "BACKWARD" in instruction.opname:
            found.add(instruction.offset)
        before = instruction.opname
    return frozenset(found)


class Interrupt:
    """Raises KeyboardInterrupt at the ``number``-th place of the driver where a Ctrl-C could be, in this thread."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.struck = ""
        self._returned = False

    def __enter__(self) -> Interrupt:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE) or frame.f_code.co_name == "__del__":
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        # Not after the return of a Python function: only calls of C functions are followed by a look.
        returned, self._returned = self._returned, event == "return"
        if event == "call" or (event == "opcode" and not returned and frame.f_lasti in checkpoints(frame.f_code)):
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                self.struck = f"{frame.f_code.co_filename.removeprefix(_PACKAGE)}:{frame.f_lineno}"
                raise KeyboardInterrupt(self.struck)
        return self._trace


def answer(command: dict[str, Any]) -> dict[str, Any]:
    reply = dict(fine(command))
    if "find" in command:
        reply["cursor"]["firstBatch"] = [{"_id": 1}]
    return {**reply, "n": 1}


@pytest.fixture
def client() -> Iterator[Client]:
    with FakeServer(with_sessions(), answer) as server:
        server.hello.update(setName="rs", hosts=[str(server.address)], me=str(server.address))
        with Client(f"mongodb://{server.address}/?replicaSet=rs", serverSelectionTimeoutMS=5000) as client:
            client.db.items.find_one()
            yield client


@pytest.fixture
def collected() -> Iterator[None]:
    """What an interrupt has struck is collected within the test that allows it to warn, and not in a later one."""
    yield
    gc.collect()


def places_in(work: Callable[[], object]) -> int:
    """At how many places of the driver an interrupt could strike a call."""
    counting = Interrupt(1_000_000)
    with counting:
        work()
    return 1_000_000 - counting.left


def settled(client: Client) -> list[Any]:
    """What is still in use once the clean-up in the background is over."""
    core = client._inner._core
    left: list[Any] = []
    end = time.monotonic() + 2
    while time.monotonic() < end:
        pools = [server.pool.state for server in core.topology.servers.values()]
        left = [state.in_use for state in pools if state.in_use]
        if not left and not core._unfinished():
            return []
        time.sleep(0.005)
    return left


def check(client: Client, struck: str) -> None:
    threads = client._threads
    assert not threads.lock._is_owned(), struck
    found: list[Any] = []
    other = threading.Thread(target=lambda: found.append(client.db.items.find_one()), daemon=True)
    other.start()
    other.join(10)
    assert found == [{"_id": 1}], f"after an interrupt at {struck}, another thread cannot use the client"
    assert client.db.items.find_one() == {"_id": 1}, struck


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("kind", ["find_one", "transaction"])
@pytest.mark.usefixtures("collected")
def test_an_interrupt_anywhere_leaves_a_client_that_works(client: Client, kind: str) -> None:
    def transaction() -> None:
        with client.start_session() as session, session.start_transaction():
            client.db.items.insert_one({}, session=session)

    work: Callable[[], object] = client.db.items.find_one if kind == "find_one" else transaction
    work()
    places: set[str] = set()
    leaks: list[str] = []
    for number in range(1, places_in(work) + 1, 1 if kind == "find_one" else 5):
        at = Interrupt(number)
        try:
            with at:
                work()
        except KeyboardInterrupt:
            places.add(at.struck)
        check(client, at.struck)
        if settled(client):
            leaks.append(at.struck)
    assert len(places) > 20
    assert leaks == []


# A socket that was just taken from a pool is closed by the collection of the frames that were struck.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.usefixtures("collected")
def test_an_interrupt_while_a_client_is_closed_closes_it(replica_set: ReplicaSet) -> None:
    def close() -> None:
        with Client(replica_set.uri) as client:
            client.admin.command("ping")
            clients.append(client)
            at.__enter__()
        at.__exit__()

    clients: list[Client] = []
    at = Interrupt(1_000_000)
    close()
    for number in range(1, 1_000_000 - at.left + 1, 40):
        at = Interrupt(number)
        try:
            close()
        except KeyboardInterrupt:
            clients[-1].close()
        finally:
            sys.settrace(None)
        clients[-1]._threads.call(lambda: None)
        with clients[-1]:
            assert clients[-1].admin.command("ping")["ok"] == 1


def test_a_ctrl_c_in_a_call_is_raised_within_the_budget_and_the_connection_is_kept(replica_set: ReplicaSet) -> None:
    with Client(replica_set.uri) as client:
        client.db.items.drop()
        client.db.items.insert_one({"_id": 1})
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
        timer.start()
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.db.items.find_one({"$where": "sleep(20000) || true"})
        assert time.monotonic() - begin < 5
        assert client.db.items.find_one({}) == {"_id": 1}
        client.db.items.drop()
