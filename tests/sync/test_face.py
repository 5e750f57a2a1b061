"""``wiredrv.sync`` is what the asynchronous classes say, and nothing is missing in it."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import wiredrv
from tools.synchronous.plan import MODULES, PACKAGE
from tools.synchronous.source import read
from tools.synchronous.writer import Writer
from wiredrv import sync
from wiredrv.errors import ConfigurationError
from wiredrv.sync.base import Synchronous
from wiredrv.sync.words import reworded

#: Methods that PyMongo's synchronous classes do not have either.
ASYNCHRONOUS = {"aclose", "aconnect"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_what_the_program_writes_from_the_asynchronous_one(module: str) -> None:
    path = PACKAGE / "sync" / f"{MODULES[module]}.py"
    now, then = ast.parse(Writer(read(module), MODULES[module]).write()), ast.parse(path.read_text())
    for tree in (now, then):  # ruff sorts and combines the imports
        tree.body = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom, ast.If))]
    assert _text(now) == _text(then), f"run python -m tools.synchronous: {path.name} is out of date"


def _text(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = " ".join(node.value.split())  # the formatter indents docstrings anew
    return ast.unparse(tree)


def _classes() -> list[type[Synchronous]]:
    found = [getattr(sync, name) for name in sync.__all__]
    return [cls for cls in found if isinstance(cls, type) and issubclass(cls, Synchronous)]


def _asynchronous(cls: type[Synchronous]) -> type:
    homes = {"ClientTransaction": "client_transaction", "SessionBinding": "blocks", "TransactionContext": "blocks"}
    if cls.__name__ in homes:
        module: ModuleType = __import__(f"wiredrv.client.sessions.{homes[cls.__name__]}", fromlist=["*"])
        found: type = getattr(module, cls.__name__)
        return found
    home: type = getattr(wiredrv, cls.__name__)
    return home


@pytest.mark.parametrize("cls", _classes(), ids=lambda cls: cls.__name__)
def test_a_class_has_every_public_method_of_the_asynchronous_one(cls: type[Synchronous]) -> None:
    wanted = {name for name in dir(_asynchronous(cls)) if not name.startswith("_")} - ASYNCHRONOUS
    assert not {name for name in wanted if not hasattr(cls, name)}
    assert not {name for name in dir(cls) if not name.startswith("_")} - wanted


@pytest.mark.parametrize("cls", _classes(), ids=lambda cls: cls.__name__)
def test_a_method_has_the_parameters_of_the_asynchronous_one_and_waits_for_nothing(cls: type[Synchronous]) -> None:
    other = _asynchronous(cls)
    for name in dir(cls):
        ours, theirs = inspect.getattr_static(cls, name), inspect.getattr_static(other, name, None)
        if name.startswith("_") or not inspect.isfunction(ours) or not inspect.isfunction(theirs):
            continue
        assert not inspect.iscoroutinefunction(ours), name
        wanted = [parameter for parameter in inspect.signature(theirs).parameters if parameter != "coro"]
        assert list(inspect.signature(ours).parameters) == wanted, name


#: Those that were not written from an asynchronous module may speak of both faces.
_BY_HAND = ("words.py", "base.py")


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((PACKAGE / "sync").glob("*.py")) if path.name not in _BY_HAND],
    ids=lambda path: path.name,
)
def test_no_docstring_speaks_of_awaiting(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.Module)):
            text = ast.get_docstring(node) or ""
            for word in ("await ", "async ", "asynchronous", "coroutine", "event loop", " task"):
                assert word not in text.replace("asynchronous ones by", "").replace(
                    "driver's own coroutine", ""
                ).replace("there is no event loop", ""), f"{path.name}: {word!r} in {text!r}"


def test_advice_is_given_in_the_words_of_this_face() -> None:
    assert reworded("open it again with `await client.open()` or `async with client:`") == (
        "open it again with `client.open()` or `with client:`"
    )
    assert reworded("a cursor is used by one task at a time") == "a cursor is used by one thread at a time"


def test_a_client_is_refused_where_gevent_or_eventlet_has_replaced_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    gevent = SimpleNamespace(is_module_patched=lambda name: name == "threading")
    monkeypatch.setitem(sys.modules, "gevent.monkey", gevent)
    with pytest.raises(ConfigurationError, match="needs real threads, and gevent has replaced them"):
        sync.Client()
    monkeypatch.setitem(sys.modules, "gevent.monkey", SimpleNamespace(is_module_patched=lambda name: False))
    eventlet = SimpleNamespace(is_monkey_patched=lambda name: name == "thread")
    monkeypatch.setitem(sys.modules, "eventlet.patcher", eventlet)
    with pytest.raises(ConfigurationError, match="eventlet"):
        sync.Client()


def test_a_client_is_refused_without_the_global_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(ConfigurationError, match="PYTHON_GIL=1"):
        sync.Client()
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    sync.Client()
