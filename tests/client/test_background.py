"""Opening, closing and abandoning a client: where its tasks run, and that their cancel scopes do not affect users."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import anyio
import pytest

import wiredrv
from tests.support.fake_server import FakeServer, with_sessions
from tests.support.leaks import settled_tasks
from tests.support.waiting import until
from wiredrv.client.background import Background
from wiredrv.errors import InvalidOperation
from wiredrv.types import Spawn

pytestmark = pytest.mark.anyio

_REPOSITORY = Path(__file__).resolve().parents[2]


# --- the background itself --------------------------------------------------------------------------------------------


async def test_what_it_spawns_ends_when_it_is_stopped() -> None:
    running: list[str] = []

    async def task(name: str) -> None:
        running.append(name)
        try:
            await anyio.sleep_forever()
        finally:
            running.remove(name)

    async def set_up(spawn: Spawn) -> None:
        spawn(task, "a")
        spawn(task, "b")

    background = Background()
    background.start(set_up)
    await background.wait_ready()
    await until(lambda: sorted(running) == ["a", "b"], "both tasks run")
    await background.stop()
    assert running == []
    background.spawn(task, "late")
    await anyio.wait_all_tasks_blocked()
    assert running == []


async def test_one_that_is_stopped_before_it_ran_never_runs() -> None:
    called: list[str] = []

    async def set_up(spawn: Spawn) -> None:
        called.append("set up")

    background = Background()
    background.start(set_up)
    with anyio.fail_after(5):
        await background.stop()
    await anyio.wait_all_tasks_blocked()
    assert called == []


async def test_a_task_that_fails_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise KeyError("broken")

    background = Background()

    async def set_up(spawn: Spawn) -> None:
        spawn(broken)

    background.start(set_up)
    await background.wait_ready()
    await until(lambda: "broken" in caplog.text, "the failure is logged")
    await background.stop()


async def test_cancelling_who_opens_does_not_fail_the_others_that_wait() -> None:
    with FakeServer(with_sessions()) as server:
        client = wiredrv.Client(server.uri)
        replies: list[object] = []

        async def use() -> None:
            replies.append(await client.db.command("ping"))

        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await client.db.command("ping")
            assert scope.cancelled_caught
            group.start_soon(use)
            group.start_soon(use)
        assert len(replies) == 2
        await client.close()


# --- a client's life --------------------------------------------------------------------------------------------------


class Mine(Exception):
    """A user's exception."""


@pytest.mark.parametrize(
    "raised", [Mine("from the body"), ExceptionGroup("the body's own group", [KeyError("a")])], ids=["alone", "a group"]
)
async def test_the_bodys_exception_leaves_the_block_as_itself(raised: Exception) -> None:
    async def use(server: FakeServer) -> None:
        async with wiredrv.Client(server.uri) as client:
            await client.db.command("ping")
            raise raised

    with FakeServer(with_sessions()) as server, pytest.raises(type(raised)) as caught:
        await use(server)
    assert caught.value is raised
    assert caught.value.__cause__ is None
    if isinstance(raised, ExceptionGroup):
        assert [type(inner) for inner in raised.exceptions] == [KeyError]


async def test_a_cancelled_body_closes_the_client_and_the_cancellation_goes_on() -> None:
    with FakeServer(with_sessions()) as server:
        before = await settled_tasks()
        with anyio.CancelScope() as scope:
            async with wiredrv.Client(server.uri) as client:
                await client.db.command("ping")
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert not client._core.was_opened
        await until(lambda: len(anyio.get_running_tasks()) <= before, "its tasks have ended")


async def test_a_client_may_be_closed_by_another_task_than_the_one_that_opened_it() -> None:
    with FakeServer(with_sessions()) as server:
        client = wiredrv.Client(server.uri)
        async with anyio.create_task_group() as group:
            group.start_soon(client.open)
        assert await client.db.command("ping")
        async with anyio.create_task_group() as group:
            group.start_soon(client.close)
            group.start_soon(client.close)
        assert not client._core.was_opened


async def test_a_closed_client_can_be_opened_again() -> None:
    with FakeServer(with_sessions()) as server:
        client = wiredrv.Client(server.uri)
        for _ in range(3):
            async with client:
                assert await client.db.command("ping")
        await client.close()


async def test_closing_ends_the_sessions_once() -> None:
    with FakeServer(with_sessions()) as server:
        async with wiredrv.Client(server.uri) as client:
            await client.db.c.find_one({})
            used = server.commands[-1]["lsid"]
        await client.close()
        ends = [command for command in server.commands if "endSessions" in command]
        assert [command["endSessions"] for command in ends] == [[used]]
        assert "lsid" not in ends[0]


async def test_closing_without_a_server_does_not_wait_for_one() -> None:
    client = wiredrv.Client("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=60000")
    await client.open()
    with anyio.fail_after(5):
        await client.close()


# --- event loops ------------------------------------------------------------------------------------------------------

BACKENDS = ("asyncio", "trio")


@pytest.mark.parametrize("second", BACKENDS)
@pytest.mark.parametrize("first", BACKENDS)
def test_a_client_left_open_in_one_event_loop_works_in_the_next(first: str, second: str) -> None:
    with FakeServer(with_sessions()) as server:
        client = wiredrv.Client(server.uri)

        async def use() -> object:
            return await client.db.command("ping")

        async def use_and_close() -> object:
            try:
                return await client.db.command("ping")
            finally:
                await client.close()

        assert anyio.run(use, backend=first)
        assert anyio.run(use, backend=second)
        assert anyio.run(use_and_close, backend=first)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_session_of_an_event_loop_that_is_gone_is_refused(backend: str) -> None:
    with FakeServer(with_sessions()) as server:
        client = wiredrv.Client(server.uri)
        kept: list[wiredrv.ClientSession] = []

        async def first() -> None:
            session = client.start_session()
            await client.db.command("ping", session=session)
            kept.append(session)

        async def second() -> None:
            try:
                await client.db.command("ping")
                with pytest.raises(InvalidOperation, match="start a new one"):
                    await client.db.command("ping", session=kept[0])
            finally:
                await kept[0].end_session()
                await client.close()

        anyio.run(first, backend=backend)
        anyio.run(second, backend=backend)
        ids = [bytes(command["lsid"]["id"]) for command in server.commands if "lsid" in command]
        assert len(set(ids)) == 2, "no session of the first loop was used in the second"


def test_an_asyncio_loop_that_was_closed_under_its_tasks_does_no_harm() -> None:
    with FakeServer(with_sessions()) as server:
        client = wiredrv.Client(server.uri)

        async def use() -> object:
            return await client.db.command("ping")

        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(use())
        tasks = asyncio.all_tasks(loop)
        loop.close()
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # the test's doing, not the driver's

        async def again() -> object:
            try:
                return await client.db.command("ping")
            finally:
                await client.close()

        assert anyio.run(again)


def test_a_second_live_event_loop_is_refused() -> None:
    with FakeServer(with_sessions()) as server:
        client = wiredrv.Client(server.uri)
        opened, done = threading.Event(), threading.Event()
        failures: list[BaseException] = []

        async def hold() -> None:
            async with client:
                await client.db.command("ping")
                opened.set()
                await anyio.to_thread.run_sync(done.wait, 20)
                assert await client.db.command("ping"), "the refusal disturbs nobody"

        def home() -> None:
            try:
                anyio.run(hold)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=home)
        thread.start()
        assert opened.wait(20)

        async def use() -> None:
            with pytest.raises(InvalidOperation, match="another event loop"):
                await client.db.command("ping")
            with pytest.raises(InvalidOperation, match="another event loop"):
                async with client:
                    pytest.fail("it was opened twice")

        try:
            for backend in BACKENDS:
                anyio.run(use, backend=backend)
        finally:
            done.set()
            thread.join(20)
        assert failures == []


# --- clients that are never closed ------------------------------------------------------------------------------------


def _drop(held: list[wiredrv.Client]) -> None:
    held.clear()
    gc.collect()


async def test_a_client_that_was_never_closed_warns_with_the_place_and_ends_its_tasks() -> None:
    with FakeServer(with_sessions()) as server:
        before = await settled_tasks()
        held = [wiredrv.Client(server.uri)]
        await held[0].db.command("ping")
        with pytest.warns(ResourceWarning, match=r"test_background\.py:\d+ was never closed"):
            _drop(held)
        await until(lambda: len(anyio.get_running_tasks()) <= before, "its tasks have ended")


async def test_a_client_that_is_collected_in_another_thread_ends_its_tasks_too() -> None:
    with FakeServer(with_sessions()) as server:
        before = await settled_tasks()
        held = [wiredrv.Client(server.uri)]
        await held[0].db.command("ping")

        def drop() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                _drop(held)

        await anyio.to_thread.run_sync(drop)
        await until(lambda: len(anyio.get_running_tasks()) <= before, "its tasks have ended")


async def test_a_client_that_was_closed_or_never_opened_does_not_warn() -> None:
    with FakeServer(with_sessions()) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        client = wiredrv.Client(server.uri)
        await client.db.command("ping")
        await client.close()
        del client
        wiredrv.Client(server.uri)
        gc.collect()


# --- forks ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking needs a POSIX system")
def test_a_forked_child_shares_neither_connections_nor_sessions_with_its_parent() -> None:
    program = """
        import os, threading, warnings
        import anyio
        import wiredrv
        from tests.support.fake_server import FakeServer, with_sessions

        warnings.simplefilter("ignore")  # a process with threads is forked here on purpose

        async def once(client):
            await client.db.command("ping")

        with FakeServer(with_sessions()) as server:
            client = wiredrv.Client(server.uri)

            async def parent():
                await once(client)
                session = client.start_session()
                await client.db.command("ping", session=session)
                pid = os.fork()
                if pid == 0:
                    os._exit(child(session))
                await anyio.to_thread.run_sync(lambda: os.waitpid(pid, 0))
                await client.db.command("ping", session=session)
                await once(client)
                await session.end_session()
                await client.close()

            def child(session):
                async def work():
                    await once(client)
                    try:
                        await client.db.command("ping", session=session)
                    except wiredrv.errors.InvalidOperation:
                        return 0
                    return 1
                # A thread of its own, since this one believes to be inside the parent's event loop.
                codes = []
                thread = threading.Thread(target=lambda: codes.append(anyio.run(work)))
                thread.start()
                thread.join(20)
                return codes[0] if codes else 2

            anyio.run(parent)
            ids = [bytes(c["lsid"]["id"]) for c in server.commands if "lsid" in c]
            # The parent's two sessions, and one of the child's.
            assert len(set(ids)) == 3, len(set(ids))
            print("fine")
    """
    assert _run_python(program).endswith("fine\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking needs a POSIX system")
def test_a_child_can_make_a_client_although_another_thread_made_one_during_the_fork() -> None:
    """Making a client takes locks of the process for a moment, and a child has none of its parent's other threads."""
    program = """
        import os, signal, threading, warnings
        import wiredrv
        from wiredrv import listeners
        from wiredrv.execution import recording

        warnings.simplefilter("ignore")  # a process with threads is forked here on purpose
        wiredrv.Client()
        held, forked = threading.Event(), threading.Event()

        def hold():
            with recording._lock, listeners._changes:
                held.set()
                forked.wait(20)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(20)
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # a child that waits for ever would be ended by this
            wiredrv.Client(event_listeners=[print])
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        forked.set()
        thread.join()
        print("fine" if status == 0 else f"the child ended with {status}")
    """
    assert _run_python(program).endswith("fine\n")


# --- fixtures of users ------------------------------------------------------------------------------------------------


def _run_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(program)],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


PLUGINS = {
    "anyio": (
        "@pytest.fixture\ndef anyio_backend():\n    return {backend!r}\n",
        "@pytest.fixture",
        "@pytest.mark.anyio",
        ("asyncio", "trio"),
    ),
    "pytest-asyncio": ("", "@pytest_asyncio.fixture", "@pytest.mark.asyncio", ("asyncio",)),
    "pytest-trio": ("", "@pytest.fixture", "@pytest.mark.trio", ("trio",)),
}
CASES = [(plugin, backend) for plugin, case in PLUGINS.items() for backend in case[3]]


@pytest.mark.parametrize("plugin, backend", CASES)
def test_a_fixture_that_yields_inside_an_open_client_works(plugin: str, backend: str, tmp_path: Path) -> None:
    preamble, fixture, mark, _ = PLUGINS[plugin]
    module = {
        "anyio": "anyio.pytest_plugin",
        "pytest-asyncio": "pytest_asyncio.plugin",
        "pytest-trio": "pytest_trio.plugin",
    }[plugin]
    pytest.importorskip(module, reason=f"{plugin} is not installed")
    # pytest-trio itself runs a test in a nursery, which wraps exceptions in groups.
    raised = "ExceptionGroup" if plugin == "pytest-trio" else "ZeroDivisionError"
    test = f"""
import pytest
{"import pytest_asyncio" if plugin == "pytest-asyncio" else ""}
import wiredrv
from tests.support.fake_server import FakeServer, with_sessions

{preamble.format(backend=backend)}

@pytest.fixture
def server():
    with FakeServer(with_sessions()) as server:
        yield server


{fixture}
async def client(server):
    async with wiredrv.Client(server.uri) as client:
        yield client


{fixture}
async def session(client):
    async with client.start_session() as session:
        yield session


{mark}
async def test_reads(client, session):
    assert await client.db.c.find_one({{}}, session=session) is None


{mark}
async def test_fails_as_itself(client):
    with pytest.raises(ZeroDivisionError):
        await client.db.command("ping")
        1 / 0


{mark}
@pytest.mark.xfail(raises={raised}, strict=True)
async def test_leaves_by_an_exception(client):
    await client.db.command("ping")
    1 / 0
"""
    (tmp_path / "test_users.py").write_text(test)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = strict\nfilterwarnings =\n    error::ResourceWarning\n"
        "    error::pytest.PytestUnraisableExceptionWarning\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", module, "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        # The other plugins do not matter, and take long to load.
        env={
            **os.environ,
            "PYTHONPATH": str(_REPOSITORY),
            "PYTEST_ADDOPTS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 1 xfailed" in done.stdout, done.stdout


@pytest.mark.parametrize("face", ["wiredrv", "wiredrv.sync"])
def test_a_session_that_outlives_the_modules_at_exit_is_silent(face: str) -> None:
    """Kept by a module that is cleared late: by then, the names that the driver's modules have imported are None."""
    text = f"""
        import asyncio, logging, {face} as face
        from wiredrv.errors import DriverError

        async def main():
            client = face.Client("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=10")
            logging.kept = client.start_session()
            try:
                sent = client.admin.command("ping")
                if {face == "wiredrv"}:
                    await sent
            except DriverError:
                pass  # the client is open nevertheless

        asyncio.run(main())
    """
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(text)], capture_output=True, text=True, check=True
    )
    assert ended.stderr == ""
