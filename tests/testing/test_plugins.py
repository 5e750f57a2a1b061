"""The fixtures under each plugin that runs asynchronous tests, in a pytest of its own with the real plugin."""

from __future__ import annotations

import pytest

from tests.testing.conftest import Run

ANYIO, ASYNCIO, TRIO = (
    ("-p", "anyio"),
    ("-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function"),
    ("-p", "trio"),
)

#: What an asynchronous test can do with the fixtures.
BODY = """\
    assert type(database) is wiredrv.Database
    await database.orders.insert_one({"sku": "abc"})
    assert await wiredrv_client[database.name].orders.count_documents({}) == 1
    assert sync_database.name == database.name
    assert sync_database.orders.count_documents({}) == 1
    async with wiredrv_client.start_session() as session, session.start_transaction():
        await database.orders.insert_one({"sku": "def"}, session=session)
    remember(database.name, sync_database.client)
"""

#: Names are fresh, and the databases of tests that have ended are gone.
HEAD = """\
import pytest
import wiredrv
import wiredrv.sync

names = []

def remember(name, client):
    assert name not in names
    assert not set(names) & set(client.list_database_names())
    names.append(name)
"""


def _test(name: str, mark: str = "", body: str = BODY, fixtures: str = "") -> str:
    return f"{mark}\nasync def test_{name}(wiredrv_client, database, sync_database{fixtures}):\n{body}\n"


def test_anyio(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(HEAD + "".join(_test(name, "@pytest.mark.anyio") for name in ("one", "two")))
    run_here(*ANYIO).assert_outcomes(passed=4)


@pytest.mark.parametrize("scope", ["function", "class", "module", "package", "session"])
def test_anyio_with_a_backend_of_any_scope(pytester: pytest.Pytester, run_here: Run, scope: str) -> None:
    backend = f"@pytest.fixture(scope={scope!r})\ndef anyio_backend():\n    return 'trio'\n"
    pytester.makepyfile(HEAD + backend + "".join(_test(name, "@pytest.mark.anyio") for name in ("one", "two")))
    run_here(*ANYIO).assert_outcomes(passed=2)


@pytest.mark.parametrize("scope", ["function", "class", "module", "package", "session"])
@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio(pytester: pytest.Pytester, run_here: Run, mode: str, scope: str) -> None:
    """In both modes, with the loop's scope in the mark and in the configuration."""
    marked = "".join(_test(name, f"@pytest.mark.asyncio(loop_scope={scope!r})") for name in ("one", "two"))
    unmarked = _test("three", "@pytest.mark.asyncio" if mode == "strict" else "")
    pytester.makepyfile(HEAD + marked + unmarked)
    scoped = ("-o", f"asyncio_default_test_loop_scope={scope}")
    run_here(*ASYNCIO, f"--asyncio-mode={mode}", *scoped).assert_outcomes(passed=3)


def test_the_client_is_in_the_loop_of_the_test(pytester: pytest.Pytester, run_here: Run) -> None:
    body = BODY + "    loops.add(asyncio.get_running_loop())\n"
    marked = "".join(_test(name, "@pytest.mark.asyncio(loop_scope='module')", body) for name in ("one", "two"))
    pytester.makepyfile(
        "import asyncio\nloops = set()\n" + HEAD + marked + "def test_loops():\n    assert len(loops) == 1\n"
    )
    run_here(*ASYNCIO).assert_outcomes(passed=3)


@pytest.mark.parametrize("mark", [True, False])
def test_pytest_trio(pytester: pytest.Pytester, run_here: Run, mark: bool) -> None:
    tests = "".join(_test(name, "@pytest.mark.trio" if mark else "") for name in ("one", "two"))
    pytester.makepyfile(HEAD + tests)
    run_here(*TRIO, *(() if mark else ("-o", "trio_mode=true"))).assert_outcomes(passed=2)


def test_plain_functions(pytester: pytest.Pytester, run_here: Run) -> None:
    body = BODY.replace("await ", "").replace("async ", "").replace("wiredrv.Database", "wiredrv.sync.Database")
    pytester.makepyfile(HEAD + "".join(_test(name, "", body).replace("async ", "") for name in ("one", "two")))
    run_here().assert_outcomes(passed=2)


def test_all_plugins_in_one_run(pytester: pytest.Pytester, run_here: Run) -> None:
    """Each test is run by the plugin that its mark names, and so is its client."""
    marks = ("anyio", "asyncio", "trio", "asyncio", "anyio")
    tests = "".join(_test(f"{mark}_{number}", f"@pytest.mark.{mark}") for number, mark in enumerate(marks))
    pytester.makepyfile(HEAD + tests)
    run_here(*ASYNCIO, *TRIO, *ANYIO).assert_outcomes(passed=7)


def test_plugins_that_are_named_by_their_modules(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(HEAD + "".join(_test(mark, f"@pytest.mark.{mark}") for mark in ("anyio", "asyncio")))
    modules = ("-p", "anyio.pytest_plugin", "-p", "pytest_asyncio.plugin")
    run_here(*modules, *ASYNCIO[2:]).assert_outcomes(passed=3)


def test_a_coroutine_that_no_plugin_runs_says_what_to_do(pytester: pytest.Pytester, run_here: Run) -> None:
    pytester.makepyfile(HEAD + _test("one"))
    result = run_here()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["test_one is a coroutine, and no plugin runs it. Mark it with @pytest.mark.anyio*"])


def test_unittest(pytester: pytest.Pytester, run_here: Run) -> None:
    """Its fixtures are requested by one that pytest uses by itself; a coroutine runs in a loop of unittest's."""
    pytester.makepyfile(
        """
        import asyncio, unittest, pytest

        class TestPlain(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def given(self, database):
                self.db = database

            def test_one(self):
                self.db.orders.insert_one({})
                self.assertEqual(self.db.orders.count_documents({}), 1)

        class TestOwnClient(unittest.IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def given(self, mongodb, sync_database):
                self.uri, self.db = mongodb.uri, sync_database

            async def test_one(self):
                import wiredrv
                async with wiredrv.Client(self.uri) as client:
                    await client[self.db.name].orders.insert_one({})
                assert await asyncio.to_thread(self.db.orders.count_documents, {}) == 1

        class TestCoroutine(unittest.IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def given(self, database): ...

            async def test_one(self): ...
        """
    )
    result = run_here()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*unittest.IsolatedAsyncioTestCase, which runs it*asyncSetUp*sync_database*"])
