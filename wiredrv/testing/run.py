"""What the plugin keeps for one run of pytest: the options, and the servers once they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from wiredrv.testing.owner import Owner, Servers
    from wiredrv.testing.sharing import OwnerProxy, OwnerServer

#: Fixtures with which a test has another member elected.
ELECTING = frozenset({"stepdown", "kill_primary"})
#: Tests that request one of these have the servers to themselves.
DISTURBING = ELECTING | {"mongodb_failpoint"}
_INVITATION = "wiredrv_testing"


class _Node(Protocol):
    """What is used of a worker, as the controller sees it."""

    workerinput: dict[str, object]


class Run:
    """One run of pytest, in one of its processes."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._owner: Owner | None = None
        self._server: OwnerServer | None = None
        self._proxy: OwnerProxy | None = None

    @property
    def _invitation(self) -> tuple[str, int, str] | None:
        given: dict[str, tuple[str, int, str] | None] = getattr(self._config, "workerinput", {})
        return given.get(_INVITATION)

    @property
    def servers(self) -> Servers:
        """The servers of the run: of this process, or, in a worker, of the controller."""
        return self._owned() if self._invitation is None else self._asked()

    def _owned(self) -> Owner:
        if self._owner is None:
            from wiredrv.testing.owner import Owner

            uri = self._config.getoption("--mongodb-uri") or os.environ.get("MONGODB_URI") or None
            self._owner = Owner(uri, self._config.getoption("--mongodb-version-binary"))
        return self._owner

    def _asked(self) -> OwnerProxy:
        if self._proxy is None:
            from wiredrv.testing.sharing import OwnerProxy

            assert self._invitation is not None
            self._proxy = OwnerProxy(self._invitation)
        return self._proxy

    def invite(self, node: _Node) -> None:
        """In the controller: tell a worker whom to ask. Nothing is started before a worker does."""
        if self._server is None:
            from wiredrv.testing.sharing import OwnerServer

            self._server = OwnerServer(self._owned())
        node.workerinput[_INVITATION] = self._server.invitation

    @contextmanager
    def turn(self, fixtures: frozenset[str]) -> Iterator[None]:
        """Around a test: in a worker, wait until the servers can be used by it."""
        if "mongodb" not in fixtures or self._invitation is None:
            yield
            return
        proxy = self._asked()
        proxy.begin_turn(alone=not fixtures.isdisjoint(DISTURBING))
        try:
            yield
        finally:
            proxy.end_turn()

    def close(self) -> None:
        """At the end of the run, or of this process's part in it: stop what was started here."""
        if self._proxy is not None:
            self._proxy.close()
        if self._server is not None:
            self._server.close()
        if self._owner is not None:
            self._owner.stop()
