"""What the tests of web frameworks share."""

from __future__ import annotations

import os

import pytest

from wiredrv.local import ReplicaSet

# An application reads it when it is imported.
os.environ.setdefault("TOKEN_KEY", "of the tests, and long enough for one")


@pytest.fixture
def named_replica_set(replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> ReplicaSet:
    """The replica set, named by the environment variable that applications read when they start."""
    monkeypatch.setenv("MONGODB_URI", replica_set.uri)
    return replica_set
