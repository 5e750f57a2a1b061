"""Calls what gives credentials: users' callbacks, in time, and with their errors made ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

from wiredrv import waits
from wiredrv.errors import CredentialsError


async def ask(name: str, function: Callable[..., object], *arguments: object, seconds: float | None) -> object:
    """Call a function that gives credentials. One that is asynchronous is awaited, any other runs in a thread.

    :param name: what it is, for messages.
    :param seconds: after how many it is cancelled; a thread is no longer waited for. None sets no limit.
    :raises CredentialsError: it raised, or gave nothing in time. The message does not repeat its error, which may
        contain a secret: ``__cause__`` is that error.
    """
    with waits.move_on_after(seconds):
        try:
            if is_asynchronous(function):
                result = waits.user(function, *arguments)
            else:
                result = await waits.to_thread(partial(function, *arguments))
            return await result if inspect.isawaitable(result) else result
        except CredentialsError:
            raise
        except Exception as error:
            raise CredentialsError(f"{name} raised {type(error).__name__}") from error
    raise CredentialsError(f"{name} gave nothing within {seconds:.3g} s")


def is_asynchronous(function: Callable[..., object]) -> bool:
    """Whether a function, or an object that can be called, is asynchronous."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
