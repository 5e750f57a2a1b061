"""What the classes of ``wiredrv.sync`` have in common. Each object wraps one of the asynchronous classes.

A method that waits drives the coroutine of the asynchronous method in the calling thread (``wiredrv.waits.threads``).
Nothing is decided here: which arguments a method takes, and what it does, is in the asynchronous class alone.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wiredrv import waits
from wiredrv.errors import ConfigurationError, InvalidOperation
from wiredrv.sync.words import reword
from wiredrv.waits.threads import Threads

if TYPE_CHECKING:
    from wiredrv.client.sessions.client_session import ClientSession as AsyncClientSession
    from wiredrv.sync.client import Client
    from wiredrv.sync.client_session import ClientSession

T = TypeVar("T")


class Synchronous:
    """A synchronous object over an asynchronous one.

    :param inner: the asynchronous object.
    :param parent: the synchronous object that made this one.
    """

    __slots__ = ("__weakref__", "_inner", "_parent", "_threads")

    _inner: Any
    _parent: Any

    def __init__(self, inner: object, parent: object) -> None:
        self._inner = inner
        self._parent = parent
        self._threads: Threads = self._parent._threads

    @property
    def _owner(self) -> Client[Any]:
        """The client that it belongs to."""
        return cast("Client[Any]", self._parent._owner)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Synchronous):
            return NotImplemented
        return type(self) is type(other) and bool(self._inner == other._inner)

    def __hash__(self) -> int:
        return hash(self._inner)

    def __repr__(self) -> str:
        return repr(self._inner)


def wrapped(value: object) -> Any:
    """What an asynchronous method takes for a session, a database or a collection of this package."""
    return value._inner if isinstance(value, Synchronous) else value


def session_of(session: ClientSession) -> AsyncClientSession:
    """The asynchronous session of a synchronous one."""
    return cast("AsyncClientSession", wrapped(session))


async def awaited(value: Awaitable[T]) -> T:
    """The result of an object that can be awaited and is not a coroutine."""
    return await value


def callback_of(
    callback: Callable[[ClientSession], T], session: ClientSession
) -> Callable[[AsyncClientSession], Coroutine[object, None, T]]:
    """The callback that ``with_transaction`` of the asynchronous session takes."""
    if not callable(callback):
        raise ConfigurationError(f"with_transaction takes a function, not {callback!r}")

    async def call(_session: AsyncClientSession) -> T:
        result = waits.user(callback, session)
        if iscoroutine(result):
            result.close()
            raise ConfigurationError(
                f"with_transaction of wiredrv.sync takes a plain function (def), and {callback!r} returned a coroutine"
            )
        return result

    return call


def reentered() -> InvalidOperation:
    """The error for a thread that calls a client in the middle of another call of it."""
    return InvalidOperation(
        "this client was called from a signal handler, a finalizer, a log handler or a decoder of values while the "
        "same thread was in the middle of another of its calls: it would wait for itself; call it afterwards"
    )


def new_threads() -> Threads:
    """The threads of a new client.

    :raises ConfigurationError: threads of this program are not what they need to be.
    """
    is_gil_enabled = getattr(sys, "_is_gil_enabled", None)
    if is_gil_enabled is not None and not is_gil_enabled():
        raise ConfigurationError(
            "wiredrv.sync does not support Python without its global lock (free threading) yet: run a build with it, "
            "or set PYTHON_GIL=1"
        )
    for name, check, argument in (
        ("gevent.monkey", "is_module_patched", "threading"),
        ("eventlet.patcher", "is_monkey_patched", "thread"),
    ):
        patched = getattr(sys.modules.get(name), check, None)
        if patched is not None and patched(argument):
            raise ConfigurationError(
                f"wiredrv.sync needs real threads, and {name.partition('.')[0]} has replaced them: do not patch "
                "'threading', or use wiredrv with asyncio"
            )
    return Threads(reentered, reword)
