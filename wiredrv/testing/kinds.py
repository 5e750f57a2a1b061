"""Which plugin runs a test: asynchronous fixtures must be run by the same one, in the same event loop.

Only what these plugins document is asked: their marks, the fixture ``anyio_backend``, ``pytest_asyncio.is_async_test``.
"""

from __future__ import annotations

import inspect
import sys
import unittest

import pytest

PLAIN = "plain"

#: The modules of the plugins.
ASYNCIO, _TRIO, _ANYIO = "pytest_asyncio.plugin", "pytest_trio.plugin", "anyio.pytest_plugin"

_NO_PLUGIN = (
    "{test} is a coroutine, and no plugin runs it. Mark it with @pytest.mark.anyio (anyio's plugin is installed with "
    "wiredrv), or install pytest-asyncio or pytest-trio and mark it with @pytest.mark.asyncio or @pytest.mark.trio. In "
    "a plain function, the same fixture gives the objects of wiredrv.sync"
)
_UNITTEST = (
    "{test} is a coroutine of unittest.IsolatedAsyncioTestCase, which runs it in an event loop no fixture can use. "
    "Make a client in asyncSetUp from the fixture mongodb (its uri), or use sync_database"
)


def kind_of(item: pytest.Item) -> str:
    """Which plugin runs the test.

    :returns: ``plain`` (none: it is no coroutine), ``anyio``, ``trio``, or ``asyncio_`` and the scope of the loop.
    :raises pytest.fail.Exception: it is a coroutine, and no plugin runs it.
    """
    if not _is_coroutine(item):
        return PLAIN
    asyncio_mark = item.get_closest_marker("asyncio")
    if (
        asyncio_mark is not None
        and is_active(item.config, ASYNCIO)
        and sys.modules["pytest_asyncio"].is_async_test(item)
    ):
        return f"asyncio_{_loop_scope(item, asyncio_mark)}"
    if item.get_closest_marker("trio") is not None and is_active(item.config, _TRIO):
        return "trio"
    if "anyio_backend" in getattr(item, "fixturenames", ()) and is_active(item.config, _ANYIO):
        return "anyio"
    of_unittest = issubclass(getattr(item, "cls", None) or object, unittest.IsolatedAsyncioTestCase)
    pytest.fail((_UNITTEST if of_unittest else _NO_PLUGIN).format(test=item.name), pytrace=False)


def is_active(config: pytest.Config, plugin: str) -> bool:
    """Whether a plugin is loaded, by whichever name: the module is what counts.

    :param plugin: its module.
    """
    module = sys.modules.get(plugin)
    return module is not None and config.pluginmanager.is_registered(module)


def name_of(kind: str) -> str:
    """The name of the fixture that makes clients for tests of a kind."""
    return f"_wiredrv_client_{kind}"


def _loop_scope(item: pytest.Item, mark: pytest.Mark) -> str:
    given = mark.kwargs.get("loop_scope") or mark.kwargs.get("scope")
    return str(given or item.config.getini("asyncio_default_test_loop_scope"))


def _is_coroutine(item: pytest.Item) -> bool:
    function = getattr(item, "obj", None)
    if (hypothesis := getattr(function, "hypothesis", None)) is not None:
        function = hypothesis.inner_test
    return inspect.iscoroutinefunction(function)
