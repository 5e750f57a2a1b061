"""The fixtures that pytest-asyncio runs, one for each scope that the event loop of a test can have.

A plugin of its own, which is registered where pytest-asyncio is active.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Literal

import pytest_asyncio

from wiredrv.testing.clients import asynchronous
from wiredrv.testing.kinds import name_of

if TYPE_CHECKING:
    import wiredrv


def _in_loop_of(
    scope: Literal["function", "class", "module", "package", "session"],
) -> Callable[..., AsyncIterator[wiredrv.Client]]:
    return pytest_asyncio.fixture(asynchronous(), loop_scope=scope, name=name_of(f"asyncio_{scope}"))


for_functions = _in_loop_of("function")
for_classes = _in_loop_of("class")
for_modules = _in_loop_of("module")
for_packages = _in_loop_of("package")
for_sessions = _in_loop_of("session")
