"""What the tests of object mappers share, as a plugin of the pytest that runs them."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

# The one line that an application adds.
import wiredrv.compat.pymongo as wiredrv_compat_pymongo

assert wiredrv_compat_pymongo


@pytest.fixture
def uri() -> str:
    """The connection string of the replica set."""
    return os.environ["MONGODB_URI"]


@pytest.fixture
def database() -> str:
    """The name of a database that no other test uses."""
    return f"mappers_{uuid4().hex[:12]}"
