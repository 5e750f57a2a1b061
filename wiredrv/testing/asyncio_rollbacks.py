"""The fixtures behind ``rollback`` that pytest-asyncio runs, as in ``asyncio_clients``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Literal

import pytest_asyncio

from wiredrv.testing.rollbacks import asynchronous, name_of

if TYPE_CHECKING:
    import wiredrv


def _in_loop_of(
    scope: Literal["function", "class", "module", "package", "session"],
) -> Callable[..., AsyncIterator[wiredrv.Database]]:
    return pytest_asyncio.fixture(asynchronous(), loop_scope=scope, name=name_of(f"asyncio_{scope}"))


for_functions = _in_loop_of("function")
for_classes = _in_loop_of("class")
for_modules = _in_loop_of("module")
for_packages = _in_loop_of("package")
for_sessions = _in_loop_of("session")
