"""The waits of synchronous calls: the same coroutines, driven in threads, with one lock that every wait releases."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wiredrv import waits
from wiredrv.errors import AutoReconnect, InvalidOperation
from wiredrv.net.thread_transport import ThreadSocketTransport
from wiredrv.types import Address, ReceiveBuffer
from wiredrv.waits.interface import here
from wiredrv.waits.thread_blocks import Cancelled
from wiredrv.waits.threads import LOGGERS, Threads

SOMEWHERE = Address("server.example", 27017)


@pytest.fixture
def loop() -> Threads:
    return Threads(lambda: InvalidOperation("this thread is in the middle of another call"))


@contextmanager
def started(*functions: Callable[[], object]) -> Iterator[list[threading.Thread]]:
    """Run functions in threads, and wait for their ends."""
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def handling() -> Iterator[Callable[[Callable[[logging.LogRecord], object]], None]]:
    """Adds a handler to the root logger, for the time of the test."""
    added: list[logging.Handler] = []

    def add(emit: Callable[[logging.LogRecord], object]) -> None:
        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                emit(record)

        added.append(Handler())
        logging.getLogger().addHandler(added[0])

    yield add
    logging.getLogger().removeHandler(added[0])


# --- calls ---


def test_a_call_runs_the_coroutine_in_the_calling_thread(loop: Threads) -> None:
    async def work() -> object:
        assert waits.backend() == "threads"
        assert waits.running_loop() is loop
        assert waits.reader_loop() is None or here.call is not None
        await waits.checkpoint()
        return waits.current_task()

    assert loop.run(work()) is threading.current_thread()
    assert here.call is None


def test_what_the_coroutine_raises_is_raised(loop: Threads) -> None:
    async def work() -> None:
        await waits.checkpoint()
        raise KeyError("as it is")

    with pytest.raises(KeyError, match="as it is"):
        loop.run(work())
    loop.run(waits_for(0.0))


async def waits_for(seconds: float) -> None:
    await waits.sleep(seconds)


def test_between_two_awaits_a_thread_is_alone(loop: Threads) -> None:
    inside: list[int] = []
    most = 0

    async def work() -> None:
        nonlocal most
        for _ in range(50):
            inside.append(1)
            most = max(most, len(inside))
            sum(range(200))
            inside.pop()
            await waits.checkpoint()

    with started(*[lambda: loop.run(work())] * 16):
        pass
    assert most == 1


def test_a_call_within_a_call_of_the_same_thread_is_refused(loop: Threads) -> None:
    async def inner() -> None:
        pass

    async def outer() -> None:
        with pytest.raises(InvalidOperation, match="in the middle"):
            loop.run(inner())

    loop.run(outer())
    loop.run(inner())


def test_a_user_function_may_call_again_and_lets_others_run(loop: Threads) -> None:
    seen: list[str] = []

    async def inner() -> None:
        seen.append("inner")

    def function() -> str:
        assert here.call is None
        loop.run(inner())
        with started(lambda: loop.run(inner())):
            pass
        return "result"

    async def outer() -> str:
        return waits.user(function)

    assert loop.run(outer()) == "result"
    assert seen == ["inner", "inner"]


# --- waiting ---


def test_an_event_wakes_a_thread(loop: Threads) -> None:
    async def make() -> waits.Event:
        return waits.Event()

    event = loop.run(make())
    woken: list[float] = []

    async def wait() -> None:
        await event.wait()
        woken.append(time.monotonic())

    async def wake() -> None:
        event.set()

    with started(*[lambda: loop.run(wait())] * 3):
        time.sleep(0.02)
        loop.run(wake())
    assert len(woken) == 3
    assert event.is_set()


def test_a_deadline_ends_a_wait(loop: Threads) -> None:
    async def work() -> tuple[bool, bool]:
        with waits.move_on_after(0.02) as scope:
            await waits.sleep(10)
        with pytest.raises(TimeoutError), waits.fail_after(0.01):
            await waits.sleep_forever()
        return scope.cancel_called, scope.cancelled_caught

    begin = time.monotonic()
    assert loop.run(work()) == (True, True)
    assert time.monotonic() - begin < 5


def test_the_earliest_deadline_applies_and_a_shield_keeps_outer_ones_off(loop: Threads) -> None:
    async def work() -> list[str]:
        steps: list[str] = []
        with waits.move_on_after(0.02) as outer:
            with waits.shield(5):
                assert waits.seconds_left() > 4
                await waits.sleep(0.04)
                steps.append("shielded")
            with waits.move_on_after(5) as inner:
                assert waits.is_cancelling()
                await waits.sleep(5)
            steps.append("not reached")
        assert outer.cancelled_caught
        assert not inner.cancelled_caught
        return steps

    assert loop.run(work()) == ["shielded"]


def test_another_thread_cancels_a_scope(loop: Threads) -> None:
    scopes: list[waits.CancelScope] = []

    async def work() -> bool:
        with waits.CancelScope() as scope:
            scopes.append(scope)
            await waits.sleep_forever()
        return scope.cancelled_caught

    async def cancel() -> None:
        scopes[0].cancel()

    caught: list[bool] = []
    with started(lambda: caught.append(loop.run(work()))):
        until(lambda: bool(loop.waiting))
        loop.run(cancel())
    assert caught == [True]


def test_work_in_a_thread_is_given_up_at_the_deadline(loop: Threads) -> None:
    released = threading.Event()

    async def work() -> str:
        assert await waits.to_thread(lambda: threading.current_thread()) is threading.current_thread()
        with waits.fail_after(5):
            assert await waits.to_thread(lambda: threading.current_thread()) is not threading.current_thread()
        with waits.move_on_after(0.02):
            await waits.to_thread(released.wait)
        with pytest.raises(ZeroDivisionError), waits.move_on_after(5):
            await waits.to_thread(lambda: 1 // 0)
        return "done"

    assert loop.run(work()) == "done"
    released.set()


# --- sockets ---


@contextmanager
def connected() -> Iterator[tuple[ThreadSocketTransport, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        transport = ThreadSocketTransport(ours, SOMEWHERE)
        yield transport, theirs
        transport.close()


def test_bytes_go_out_and_in(loop: Threads) -> None:
    with connected() as (transport, server):

        async def work() -> bytes:
            await transport.send(b"ping")
            return await transport.receive(100)

        def serve() -> None:
            assert server.recv(100) == b"ping"
            time.sleep(0.01)
            server.sendall(b"pong")

        with started(serve):
            assert loop.run(work()) == b"pong"


def test_a_large_message_waits_for_the_peer(loop: Threads) -> None:
    size = 4_000_000
    with connected() as (transport, server):

        def serve() -> None:
            got = 0
            while got < size:
                got += len(server.recv(1 << 20))

        with started(serve):
            loop.run(transport.send(bytes(size)))


def test_a_large_reply_goes_into_its_memory(loop: Threads) -> None:
    message = bytes(range(256)) * 10_000
    buffer = ReceiveBuffer(len(message) + 4, b"head")
    with connected() as (transport, server):

        async def work() -> bool:
            with waits.move_on_after(0.01):
                await transport.receive_into(buffer)  # nothing has been sent yet
            return await transport.receive_into(buffer)

        def serve() -> None:
            time.sleep(0.05)
            server.sendall(message)

        with started(serve):
            assert loop.run(work())
        assert buffer.message() == b"head" + message
        server.close()
        assert not loop.run(transport.receive_into(ReceiveBuffer(4, b"")))


def test_a_thread_that_waits_closes_the_socket_that_another_closed(loop: Threads) -> None:
    with connected() as (transport, _server):
        failures: list[BaseException] = []

        def receive() -> None:
            try:
                loop.run(transport.receive(100))
            except AutoReconnect as error:
                failures.append(error)

        async def close() -> int:
            transport.close()
            return transport._socket.fileno()

        with started(receive):
            until(lambda: transport._is_waited_for)
            assert loop.run(close()) != -1
        assert "closed by this client" in str(failures[0])
        assert transport._socket.fileno() == -1


def test_a_receive_that_was_cancelled_by_its_deadline_loses_nothing(loop: Threads) -> None:
    with connected() as (transport, server):

        async def work() -> bytes:
            with waits.move_on_after(0.01):
                await transport.receive(100)
            server.sendall(b"late")
            return await transport.receive(100)

        assert loop.run(work()) == b"late"


# --- events ---


def test_events_are_delivered_in_order_unlocked_and_before_the_next_wait(loop: Threads) -> None:
    told: list[object] = []

    async def nested() -> None:
        waits.deliver(told.append, "by the listener")

    def listener(event: object) -> None:
        told.append(event)
        if event == 1:
            loop.run(nested())

    async def work() -> list[object]:
        waits.deliver(listener, 1)
        waits.deliver(listener, 2)
        assert told == []
        await waits.checkpoint()
        seen = list(told)
        waits.deliver(listener, 3)
        return seen

    assert loop.run(work()) == [1, 2, "by the listener"]
    assert told == [1, 2, "by the listener", 3]


def test_a_listener_that_fails_changes_nothing(loop: Threads, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> str:
        waits.deliver(lambda event: 1 // 0, "event")
        return "result"

    assert loop.run(work()) == "result"
    assert "an event listener failed" in caplog.text


def test_64_threads_are_told_one_at_a_time_in_the_order_of_the_events(loop: Threads) -> None:
    published = 0
    told: list[int] = []
    busy = threading.Lock()

    def listener(event: Any) -> None:
        assert busy.acquire(blocking=False)
        told.append(event)
        busy.release()

    async def work() -> None:
        nonlocal published
        for _ in range(20):
            published += 1
            mine = published
            waits.deliver(listener, mine)
            await waits.checkpoint()
            assert mine in told[-2000:]

    with started(*[lambda: loop.run(work())] * 64):
        pass
    assert told == list(range(1, 64 * 20 + 1))


# --- interrupts ---


def interrupt_soon(seconds: float = 0.05) -> threading.Timer:
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(seconds, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    return timer


@pytest.mark.parametrize("scoped", [False, True])
def test_a_ctrl_c_in_a_wait_is_a_cancellation_after_which_the_call_cleans_up(loop: Threads, scoped: bool) -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            with waits.move_on_after(10 if scoped else None):
                await waits.sleep(5)
        except Cancelled:
            assert waits.is_cancelling()
            assert not waits.forget_cancellation()
            await waits.sleep(0.01)
            steps.append("cleaned up")
            raise

    begin = time.monotonic()
    timer = interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        loop.run(work())
    timer.join()
    assert time.monotonic() - begin < 4
    assert steps == ["cleaned up"]
    loop.run(waits_for(0))


def test_a_ctrl_c_that_clean_up_outlives_is_raised_at_the_end(loop: Threads) -> None:
    async def work() -> str:
        async def nap() -> None:
            await waits.sleep(0.2)

        assert await waits.run_shielded(nap, 5)
        return "done"

    timer = interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        loop.run(work())
    timer.join()


def test_a_second_ctrl_c_while_the_lock_is_taken_again_does_not_lose_the_lock(loop: Threads) -> None:
    entered, release = threading.Event(), threading.Event()

    def hold() -> None:
        async def occupy() -> None:
            entered.set()
            release.wait(5)  # what no code of the driver does: the lock stays taken

        loop.run(occupy())

    async def work() -> None:
        await waits.sleep(0.05)

    def run() -> None:
        timer = threading.Timer(0.01, hold)
        timer.start()
        first, second = interrupt_soon(0.03), interrupt_soon(0.1)
        threading.Timer(0.2, release.set).start()
        try:
            loop.run(work())
        finally:
            first.join()
            second.join()
            timer.join()

    with pytest.raises(KeyboardInterrupt):
        run()
    assert not loop.lock._is_owned()
    loop.run(waits_for(0))


# --- tasks ---


def test_a_group_waits_for_its_threads_and_raises_what_they_raise(loop: Threads) -> None:
    ended: list[str] = []

    async def fail() -> None:
        await waits.sleep(0.01)
        raise KeyError("one")

    async def forever() -> None:
        try:
            await waits.sleep_forever()
        finally:
            ended.append("cancelled")

    async def work() -> None:
        async with waits.create_task_group() as group:
            group.start_soon(forever)
            group.start_soon(fail)

    with pytest.raises(ExceptionGroup) as raised:
        loop.run(work())
    assert [str(error) for error in raised.value.exceptions] == ["'one'"]
    assert ended == ["cancelled"]


def test_a_group_that_is_cancelled_ends_its_threads(loop: Threads) -> None:
    async def work() -> bool:
        with waits.move_on_after(0.05) as scope:
            async with waits.create_task_group() as group:
                group.start_soon(waits.sleep, 10)
                group.start_soon(waits.sleep_forever)
                await waits.sleep_forever()
        return scope.cancelled_caught

    assert loop.run(work())


def test_a_group_without_new_threads_does_the_work_at_its_end(loop: Threads) -> None:
    loop.is_ending = True
    done: list[int] = []

    async def child(number: int) -> None:
        done.append(number)

    async def work() -> None:
        async with waits.create_task_group() as group:
            group.start_soon(child, 1)
            group.start_soon(child, 2)

    loop.run(work())
    assert done == [1, 2]


def test_a_spawned_thread_ends_and_posts_are_served_while_there_is_one(loop: Threads) -> None:
    steps: list[str] = []
    events: list[waits.Event] = []

    async def background(name: str) -> None:
        await events[0].wait()
        steps.append(name)

    async def start() -> None:
        events.append(waits.Event())
        waits.spawn(background, "background", name="background", done=lambda: steps.append("done"))

    assert not waits.call_soon(loop, lambda: None)
    loop.run(start())
    assert waits.call_soon(loop, lambda: events[0].set())
    until(lambda: steps == ["background", "done"])
    until(lambda: not waits.call_soon(loop, lambda: None))


# --- fork ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_a_lock_of_its_own(loop: Threads) -> None:
    stop = threading.Event()

    async def work() -> None:
        while not stop.is_set():
            await waits.checkpoint()

    def child() -> Awaitable[None]:
        return waits_for(0)

    with started(*[lambda: loop.run(work())] * 4):
        for _ in range(5):
            process = os.fork()
            if not process:
                try:
                    loop.run(waits_for(0))
                    assert not loop.waiting
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(process, 0)[1] == 0
        stop.set()
    loop.run(waits_for(0))


# --- what the driver logs ---


def test_what_is_logged_in_a_call_is_handled_unlocked_and_in_order(
    loop: Threads, handling: Callable[[Callable[[logging.LogRecord], object]], None]
) -> None:
    handled: list[tuple[str, bool]] = []
    handling(lambda record: handled.append((record.getMessage(), loop.lock._is_owned())))

    async def work() -> None:
        logging.getLogger("wiredrv.session").warning("the %s", "first")
        logging.getLogger("wiredrv.client").warning("the second")
        assert handled == []
        await waits.checkpoint()
        assert handled == [("the first", False), ("the second", False)]
        logging.getLogger("wiredrv.session").warning("the third")

    loop.run(work())
    assert handled[2:] == [("the third", False)]


def test_a_handler_may_use_the_client_while_another_thread_logs(
    loop: Threads, handling: Callable[[Callable[[logging.LogRecord], object]], None]
) -> None:
    """The handler's own lock is held meanwhile, and the other thread's record waits for it."""
    inside = threading.Event()
    written: list[str] = []

    async def write(text: str) -> None:
        inside.set()
        await waits.sleep(0.1)
        waits.deliver(lambda event: None, "an event of this call")
        await waits.checkpoint()
        written.append(text)

    handling(lambda record: loop.run(write(record.getMessage())))

    async def driver() -> None:
        await waits.sleep(0.01)
        logging.getLogger("wiredrv.session").warning("of the driver")
        await waits.sleep(0.01)

    def program() -> None:
        logging.getLogger("program").warning("of the program")

    with started(program):
        assert inside.wait(10)
        with started(lambda: loop.run(driver())):
            pass
    assert written == ["of the program", "of the driver"]


def test_every_logger_of_the_driver_is_known() -> None:
    source = Path(waits.__file__).parents[1]
    named = re.compile(r'getLogger\("(wiredrv[\w.]*)"\)')
    found = {name for path in source.rglob("*.py") for name in named.findall(path.read_text(encoding="utf-8"))}
    assert found == set(LOGGERS) - {"py.warnings"}
