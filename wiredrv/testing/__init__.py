"""The pytest plugin: a replica set, a client and a fresh database for tests.

pytest loads it by itself (entry point ``pytest11``). Its fixtures are in :mod:`wiredrv.testing.plugin`; the classes
here are what they give, for annotations::

    async def test_an_order(database: wiredrv.Database, mongodb: wiredrv.testing.MongoDB) -> None: ...

Rules kept here:

* pytest loads the plugin in every run of every project that has wiredrv installed. So the module of the entry point
  loads nothing of the driver until a fixture is used, and the hooks do nothing for other tests.
* Asynchronous fixtures are run by the plugin that runs the test, in the test's event loop. All that comes before a test
  and after it (a fresh name, the dropping, fail points) is synchronous and does not depend on the state of that loop.
* One process of a run owns the servers: the only one, or, with xdist, the controller. Workers ask it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wiredrv.testing.disturb import Disturb as Disturb
    from wiredrv.testing.failpoints import FailPoint as FailPoint
    from wiredrv.testing.failpoints import FailPoints as FailPoints
    from wiredrv.testing.mongodb import MongoDB as MongoDB

_HOMES = {
    "Disturb": "wiredrv.testing.disturb",
    "FailPoint": "wiredrv.testing.failpoints",
    "FailPoints": "wiredrv.testing.failpoints",
    "MongoDB": "wiredrv.testing.mongodb",
}

__all__ = ["Disturb", "FailPoint", "FailPoints", "MongoDB"]


if not TYPE_CHECKING:  # else a misspelt name would be no error for type checkers

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'wiredrv.testing' has no attribute {name!r}")
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value
