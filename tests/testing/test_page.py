"""The programs of the page about tests are tests that pass."""

from __future__ import annotations

import re

import pytest

from tests.testing.conftest import ROOT, Run

_BLOCKS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL | re.MULTILINE)


def test_the_examples_pass(pytester: pytest.Pytester, run: Run) -> None:
    backend = "import pytest\n@pytest.fixture(scope='session')\ndef anyio_backend():\n    return 'trio'\n"
    pytester.makeconftest(backend)
    count = 0
    for number, block in enumerate(_BLOCKS):
        if "pytest_asyncio" not in block:
            pytester.makepyfile(**{f"test_{number}": block})
            count += len(re.findall(r"^(?:async )?def test_", block, re.MULTILINE))
    filling = next(block for block in _BLOCKS if "pytest_asyncio" in block)
    filled = "@pytest.mark.asyncio\nasync def test_it(database):\n    assert await database.stock.find_one()\n"
    pytester.makepyfile(test_filled=f"import pytest\n{filling}\n{filled}")
    asyncio = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")
    assert count >= 5
    run("-p", "anyio", *asyncio).assert_outcomes(passed=count + 1)
