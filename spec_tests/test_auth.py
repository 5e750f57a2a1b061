"""The unified tests of the specification "auth", against a double of a server that takes access tokens.

No community build of mongod does. A deployment that does is tested with ``python -m spec_tests --suite auth``, where
``WIREDRV_SPEC_authMechanismProperties`` says where tokens are from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from spec_tests.environment import Environment
from spec_tests.runner import open_environment
from spec_tests.under_pytest import suite_tests
from spec_tests.uris import SpecUri
from tests.support.oidc_double import OIDCDouble


@pytest.fixture
async def environment(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Environment]:
    """The double, and the token that it accepts."""
    (tmp_path / "token").write_text("a token")
    monkeypatch.setenv("OIDC_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("WIREDRV_SPEC_authMechanismProperties", "ENVIRONMENT:test")
    with OIDCDouble("a token").listening() as address:
        async with open_environment(SpecUri(f"mongodb://{address}/")) as opened:
            # The runner takes a user in its connection string for access control.
            yield replace(opened, deployment=replace(opened.deployment, auth=True, double=True))


test_auth = suite_tests("auth", on_page=False)
