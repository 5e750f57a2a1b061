"""The one place where the runner touches the driver: everything else of ``spec_tests`` goes through here.

Public names are looked up in the driver at run time, so that a missing one makes a test *unsupported*, with a reason,
and one that is added later is used without a change here.

What the public API hides, but the specifications' tests need to see, comes from ``wiredrv._introspect``. The runner
looks up these functions, each only when a test needs it; if one is missing, the test is unsupported:

``pinned_address(session) -> Address | None``
    The router that the session's transaction is pinned to.
``session_lsid(session) -> Mapping``
    The session's ``lsid`` as commands carry it, also after the session has ended.
``session_dirty(session) -> bool``
    Whether the server session was marked dirty by a network error.
``transaction_state(session) -> str``
    ``none``, ``starting``, ``in_progress``, ``committed`` or ``aborted``.
``topology_description(client) -> TopologyDescription``
    What the client currently knows about its deployment.
``open_cursor(cursor) -> None`` (asynchronous)
    Sends the cursor's first command unless it was sent; consumes no document and sends no getMore.
``observe_logs(client, levels, sink) -> None``
    Calls ``sink(component, level, data)`` for each structured log message of this client at or above the level of
    its component; ``levels`` maps the logging specification's component names to its level names.

:func:`use_driver` puts another driver in the place of ``wiredrv``: a module with the same names (``spec_tests.peers``).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import bson.errors

from spec_tests.errors import RunnerError, Unsupported
from wiredrv.errors import DriverError, NotPrimaryError, OperationFailure

#: The drivers that can be run: the module with the public names, and the one with what tests inspect.
DRIVERS = {
    "wiredrv": ("wiredrv", "wiredrv._introspect"),
    "wiredrv.sync": ("spec_tests.peers.threads_driver", "spec_tests.peers.threads_driver"),
    "pymongo": ("spec_tests.peers.pymongo_driver", "spec_tests.peers.pymongo_driver"),
}
_names, _inspection = DRIVERS["wiredrv"]

_ERRORS: tuple[type[BaseException], ...] = (DriverError, bson.errors.BSONError)
_REFUSALS: tuple[type[BaseException], ...] = (OperationFailure, NotPrimaryError)

#: What an operation may raise and a test may expect. Anything else is a defect, of the driver or of the runner.
OPERATION_ERRORS = _ERRORS
_server_errors = _REFUSALS

# Names of features: each is missing if this one method or function is missing.
_FEATURES = {
    "watch": "change streams",
    "observe_logs": "structured log messages",
}


def use_driver(name: str) -> None:
    """Run the tests of this process with one of :data:`DRIVERS`.

    :raises ImportError: it is not installed.
    """
    global _names, _inspection, OPERATION_ERRORS, _server_errors
    module = importlib.import_module(DRIVERS[name][0])
    _names, _inspection = DRIVERS[name]
    OPERATION_ERRORS = getattr(module, "OPERATION_ERRORS", _ERRORS)
    _server_errors = getattr(module, "SERVER_ERRORS", _REFUSALS)


def public(name: str) -> Any:
    """A public name of the driver; Unsupported if it has none."""
    found = getattr(importlib.import_module(_names), name, None)
    if found is None:
        raise Unsupported(f"{_names}.{name}", "this driver has no such name")
    return found


def has_public(name: str) -> bool:
    """Whether the driver has a public name."""
    return getattr(importlib.import_module(_names), name, None) is not None


def introspect(name: str) -> Callable[..., Any]:
    """A function of the introspection seam; Unsupported if it has none."""
    try:
        module = importlib.import_module(_inspection)
    except ModuleNotFoundError:
        raise Unsupported(f"{_inspection}.{name}", "there is no such module") from None
    found = getattr(module, name, None)
    if found is None:
        kind = _FEATURES.get(name, f"{_inspection}.{name}")
        raise Unsupported(kind, "this driver has none yet" if name in _FEATURES else "there is no such function")
    return found  # type: ignore[no-any-return]  # the module is looked up by name


def has_introspection(name: str) -> bool:
    """Whether the introspection seam has a function."""
    try:
        return introspect(name) is not None
    except Unsupported:
        return False


def method(target: Any, *names: str) -> Callable[..., Any]:
    """The first method of ``target`` that exists.

    This looks at the class, not the object: any attribute of a client or database is a database or collection.
    """
    for name in names:
        if hasattr(type(target), name):
            return getattr(target, name)  # type: ignore[no-any-return]  # found by name
    if names[0] in _FEATURES:
        raise Unsupported(_FEATURES[names[0]], "this driver has none yet")
    raise Unsupported(f"{_class_name(target)}.{names[0]}", "this driver has no such method")


def has_method(target: Any, name: str) -> bool:
    """Whether the class of ``target`` has a method."""
    return hasattr(type(target), name)


def _class_name(target: Any) -> str:
    return type(target).__name__.removeprefix("Async")


def accepts(function: Callable[..., Any], name: str) -> bool | None:
    """Whether a parameter exists: True, False, or None where ``**kwargs`` would swallow it."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.name == name and p.kind is not p.POSITIONAL_ONLY for p in parameters):
        return True
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else False


async def settle(value: Any) -> Any:
    """Await a value if it is awaitable: several helpers work with and without ``await``."""
    return await value if inspect.isawaitable(value) else value


async def rows(value: Any) -> list[Any]:
    """The documents of a cursor or of a list, iterated to the end; the cursor is closed."""
    found = await settle(value)
    if isinstance(found, (list, tuple)):
        return list(found)
    try:
        return [document async for document in found]
    finally:
        if has_method(found, "close"):
            await found.close()


def make_client(
    uri: str,
    options: Mapping[str, Any],
    listeners: Iterable[Callable[[Any], object]] = (),
    server_api: Any = None,
) -> Any:
    """A new client, not opened yet."""
    extra = {} if server_api is None else {"server_api": server_api}
    return public("Client")(uri, event_listeners=list(listeners), **extra, **options)


def make_server_api(version: str, strict: bool | None, deprecation_errors: bool | None) -> Any:
    """A Stable API declaration; the driver refuses an unknown version."""
    return public("ServerApi")(version, strict=strict, deprecation_errors=deprecation_errors)


def read_concern(value: Mapping[str, Any]) -> Any:
    """Build a read concern from the format's common options."""
    _known(value, {"level"}, "readConcern")
    return public("ReadConcern")(value.get("level"))


def write_concern(value: Mapping[str, Any]) -> Any:
    """Build a write concern from the format's common options."""
    _known(value, {"w", "journal", "wtimeoutMS"}, "writeConcern")
    return public("WriteConcern")(w=value.get("w"), wtimeout=value.get("wtimeoutMS"), j=value.get("journal"))


def read_preference(value: Mapping[str, Any]) -> Any:
    """Build a read preference from the format's common options."""
    _known(value, {"mode", "tagSets", "maxStalenessSeconds", "hedge"}, "readPreference")
    mode = value["mode"]
    return public("ReadPreference")(
        mode[0].lower() + mode[1:],
        value.get("tagSets"),
        value.get("maxStalenessSeconds", -1),
        value.get("hedge"),
    )


def _known(value: Mapping[str, Any], keys: set[str], what: str) -> None:
    unknown = set(value) - keys
    if unknown:
        raise RunnerError(f"{what} has no option {', '.join(sorted(unknown))}")


def is_server_error(error: BaseException) -> bool:
    """Whether an error comes from a server's reply."""
    return isinstance(error, _server_errors)


def labels_of(error: BaseException) -> list[str]:
    """The labels of an error, in order. PyMongo only says whether an error has a certain one."""
    return sorted(getattr(error, "error_labels", None) or getattr(error, "_error_labels", None) or ())


def passes_on(function: Callable[..., Any], name: str) -> bool:
    """Whether a method that takes any keyword passes this one on. ``wiredrv`` itself refuses those that it does not."""
    options_of = getattr(importlib.import_module(_inspection), "options_of", None)
    known = options_of(function) if options_of is not None else None
    return known is None or name in known


def time_limit(arguments: dict[str, Any]) -> AbstractContextManager[None]:
    """A block with the limit ``timeoutMS`` in ``arguments``, for a driver whose methods have no such argument."""
    limit = getattr(importlib.import_module(_inspection), "time_limit", None)
    return nullcontext() if limit is None else limit(arguments)
