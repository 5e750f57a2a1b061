"""The pytest plugin: a replica set, a client and a fresh database for tests; and tests in one transaction.

pytest loads it by itself (entry point ``pytest11``). Its fixtures are in :mod:`wiredrv.testing.plugin`; the classes
here are what they give, for annotations::

    async def test_an_order(database: wiredrv.Database, mongodb: wiredrv.testing.MongoDB) -> None: ...

``assert_commands`` and ``rolled_back`` need no pytest.

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
    from wiredrv.testing.change_primary import ChangePrimary as ChangePrimary
    from wiredrv.testing.change_primary import SyncChangePrimary as SyncChangePrimary
    from wiredrv.testing.commands import Commands as Commands
    from wiredrv.testing.commands import assert_commands as assert_commands
    from wiredrv.testing.expected import ABSENT as ABSENT
    from wiredrv.testing.expected import Expected as Expected
    from wiredrv.testing.expected import Group as Group
    from wiredrv.testing.expected import SentCommand as SentCommand
    from wiredrv.testing.expected import in_session as in_session
    from wiredrv.testing.expected import in_transaction as in_transaction
    from wiredrv.testing.failpoints import FailPoint as FailPoint
    from wiredrv.testing.failpoints import FailPoints as FailPoints
    from wiredrv.testing.joined import RollbackError as RollbackError
    from wiredrv.testing.mongodb import MongoDB as MongoDB
    from wiredrv.testing.rollback import rolled_back as rolled_back

_HOMES = {
    "ABSENT": "wiredrv.testing.expected",
    "ChangePrimary": "wiredrv.testing.change_primary",
    "Commands": "wiredrv.testing.commands",
    "Expected": "wiredrv.testing.expected",
    "FailPoint": "wiredrv.testing.failpoints",
    "FailPoints": "wiredrv.testing.failpoints",
    "Group": "wiredrv.testing.expected",
    "MongoDB": "wiredrv.testing.mongodb",
    "RollbackError": "wiredrv.testing.joined",
    "SentCommand": "wiredrv.testing.expected",
    "SyncChangePrimary": "wiredrv.testing.change_primary",
    "assert_commands": "wiredrv.testing.commands",
    "in_session": "wiredrv.testing.expected",
    "in_transaction": "wiredrv.testing.expected",
    "rolled_back": "wiredrv.testing.rollback",
}

__all__ = [
    "ABSENT",
    "ChangePrimary",
    "Commands",
    "Expected",
    "FailPoint",
    "FailPoints",
    "Group",
    "MongoDB",
    "RollbackError",
    "SentCommand",
    "SyncChangePrimary",
    "assert_commands",
    "in_session",
    "in_transaction",
    "rolled_back",
]


if not TYPE_CHECKING:  # else a misspelt name would be no error for type checkers

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'wiredrv.testing' has no attribute {name!r}")
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value
