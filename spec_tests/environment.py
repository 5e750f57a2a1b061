"""What all tests of a run share: the deployment, where it is, and how long things may take."""

from __future__ import annotations

from dataclasses import dataclass

from spec_tests.internal import Internal
from spec_tests.requirements import Deployment
from spec_tests.uris import SpecUri


@dataclass(frozen=True, slots=True)
class Environment:
    """What all tests of a run share."""

    uri: SpecUri
    internal: Internal
    deployment: Deployment
    test_seconds: float = 90.0
    loop_seconds: float = 1.0
