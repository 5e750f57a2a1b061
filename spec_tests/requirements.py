"""Whether a test applies to a deployment: pure decisions about facts that were queried once.

Unified test format specification, "runOnRequirement".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spec_tests.matching import same_value
from spec_tests.schema import Requirement, Version


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the requirements ask about.

    ``topology`` is ``single``, ``replicaset``, ``sharded`` or ``load-balanced``; ``mongoses`` counts the routers that
    the runner's URI names. ``double``: the routers are test doubles; reports say so wherever they name the topology.
    """

    version: Version
    topology: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    auth: bool = False
    mongoses: int = 0
    double: bool = False
    data_bearing: int = 1

    @property
    def label(self) -> str:
        """The topology as reports name it."""
        return f"{self.topology} (double)" if self.double else self.topology


def unmet(requirements: Sequence[Requirement], deployment: Deployment) -> str | None:
    """None if one of the requirements holds or there are none; otherwise what each lacks, in one sentence."""
    reasons = []
    for requirement in requirements:
        lacking = _lacking(requirement, deployment)
        if lacking is None:
            return None
        if lacking not in reasons:
            reasons.append(lacking)
    return f"needs {', or '.join(reasons)}" if reasons else None


def _lacking(requirement: Requirement, deployment: Deployment) -> str | None:
    low, high = requirement.min_server_version, requirement.max_server_version
    if low is not None and deployment.version < low:
        return f"server {low} or later (this is {deployment.version})"
    if high is not None and deployment.version > high:
        return f"server {high} or earlier (this is {deployment.version})"
    if requirement.topologies and not _topology_fits(requirement.topologies, deployment.topology):
        return f"topology {' or '.join(requirement.topologies)} (this is {deployment.topology})"
    if requirement.serverless == "require":
        return "a serverless instance"
    if requirement.auth is not None and requirement.auth != deployment.auth:
        return f"authentication {'on' if requirement.auth else 'off'}"
    if requirement.csfle:
        return "client-side field level encryption"
    return _lacking_parameter(requirement, deployment)


def _topology_fits(wanted: Sequence[str], topology: str) -> bool:
    # With the servers that this runner supports, every shard is a replica set.
    return topology in wanted or (topology == "sharded" and "sharded-replicaset" in wanted)


def _lacking_parameter(requirement: Requirement, deployment: Deployment) -> str | None:
    for name, wanted in requirement.server_parameters.items():
        if name not in deployment.parameters or not same_value(wanted, deployment.parameters[name]):
            return f"server parameter {name}={wanted!r}"
    mechanism = requirement.auth_mechanism
    if mechanism is not None:
        known = deployment.parameters.get("authenticationMechanisms") or ()
        if mechanism.lower() not in {str(name).lower() for name in known}:
            return f"authentication mechanism {mechanism}"
    return None
