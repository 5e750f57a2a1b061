"""Runs of pytest in processes of their own, with the plugins that each names and no others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from wiredrv.local import ReplicaSet

ROOT = Path(__file__).resolve().parents[2]

Run: TypeAlias = Callable[..., pytest.RunResult]


@pytest.fixture
def run(starts_servers: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the tests that ``pytester`` has. Warnings are errors."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)  # this driver, not one that is installed
    for name in ("PYTEST_ADDOPTS", "MONGODB_URI"):
        monkeypatch.delenv(name, raising=False)
    own = ("-p", "wiredrv.testing.plugin", "-p", "no:cacheprovider", "-W", "error")

    def call(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess(*own, *arguments, timeout=90)

    return call


@pytest.fixture
def run_here(run: Run, replica_set: ReplicaSet) -> Run:
    """As ``run``, on the replica set of these tests instead of one of its own."""
    return lambda *arguments: run("--mongodb-uri", replica_set.uri, *arguments)
