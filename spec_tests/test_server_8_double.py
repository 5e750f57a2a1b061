"""The unified tests of ``clientBulkWrite``, of all specifications, and of search indexes, on a double of a server 8.0.

No server 8.0 is at hand: ``tests/support/bulk_write_double.py`` says what the double does, and that it is one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from spec_tests.deployment import deployment
from spec_tests.environment import Environment
from spec_tests.runner import Case, open_environment
from spec_tests.under_pytest import suite_tests
from spec_tests.uris import SpecUri


@pytest.fixture(scope="module")
def spec_uri(starts_servers: None) -> Iterator[SpecUri]:
    """The double's connection string."""
    with deployment("bulk-write") as uri:
        yield uri


@pytest.fixture(scope="module")
async def environment(anyio_backend: str, spec_uri: SpecUri) -> AsyncIterator[Environment]:
    """The runner's client and facts."""
    async with open_environment(spec_uri) as opened:
        yield opened


def _writes_in_bulk(case: Case) -> bool:
    return case.test is not None and any(each.name == "clientBulkWrite" for each in case.test.operations)


test_crud = suite_tests("crud", _writes_in_bulk)
test_retryable_writes = suite_tests("retryable-writes", _writes_in_bulk)
test_transactions = suite_tests("transactions", _writes_in_bulk)
test_causal_consistency = suite_tests("causal-consistency", _writes_in_bulk)
test_command_logging = suite_tests("command-logging-and-monitoring", _writes_in_bulk)
test_server_selection = suite_tests("server-selection", _writes_in_bulk)
test_client_backpressure = suite_tests("client-backpressure", _writes_in_bulk)
test_versioned_api = suite_tests("versioned-api", _writes_in_bulk)
test_open_telemetry = suite_tests("open-telemetry", _writes_in_bulk)


def _manages_search_indexes(case: Case) -> bool:
    return case.test is not None and any("SearchIndex" in each.name for each in case.test.operations)


test_index_management = suite_tests("index-management", _manages_search_indexes)
