"""Server discovery and monitoring: each phase of a case through the pure functions.

The interpreter below does what the asynchronous shell does, without its I/O: it keeps the description, counts each
pool's generation, and collects the events in their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bson import json_util

from spec_tests.data.case import Case, DataCase, equal, whole
from spec_tests.errors import SpecFailure
from wiredrv.description import ServerDescription, TopologyDescription
from wiredrv.errors import RETRYABLE, SYSTEM_OVERLOADED, AutoReconnect, DriverError, NetworkTimeout
from wiredrv.options.uri import parse_client_settings
from wiredrv.server_errors import command_error, write_concern_error, write_error
from wiredrv.topology.changes import changes
from wiredrv.topology.hello import server_description_from_hello
from wiredrv.topology.reactions import Failure, Reaction, on_error, on_failed_check
from wiredrv.topology.update import apply, initial_description, load_balancer_description
from wiredrv.types import Address

_FOLDERS = ("rs", "errors", "single", "sharded", "load-balanced", "monitoring")


def phases(tests: Path) -> Iterator[DataCase]:
    """The cases of all kinds of topologies, of errors, and of monitoring events."""
    return whole(tests, tuple(f"{folder}/*.json" for folder in _FOLDERS), _check)


def _check(case: Case) -> None:
    case = json_util.loads(json.dumps(case))
    interpreter = Interpreter(case["uri"])
    for number, phase in enumerate(case["phases"]):
        path = f"phases[{number}]"
        for address, reply in phase.get("responses", ()):
            interpreter.respond(Address.parse(address), reply)
        for given in phase.get("applicationErrors", ()):
            interpreter.fail(_failure(given, interpreter))
        expected = phase["outcome"]
        if "events" in expected:
            found = [{name: _plain_event(name, content)} for name, content in interpreter.events]
            equal(f"{path}.outcome.events", found, _normalize(expected["events"]))
            interpreter.events.clear()
        else:
            _check_outcome(f"{path}.outcome", interpreter, expected)


class Interpreter:
    """A topology without I/O."""

    def __init__(self, uri: str) -> None:
        self.settings = parse_client_settings(uri).topology
        self.topology = TopologyDescription()
        self.generations: dict[Address, int] = dict.fromkeys(self.settings.seeds, 0)
        self.events: list[tuple[str, Any]] = [("topology_opening_event", None)]
        self._become(initial_description(self.settings))
        if self.settings.load_balanced:
            self._become(apply(self.topology, load_balancer_description(self.settings.seeds[0]), self.settings))

    def _become(self, new: TopologyDescription) -> None:
        change = changes(self.topology, new)
        self.events += [("server_description_changed_event", pair) for pair in change.changed]
        self.events += [("server_closed_event", address) for address in change.closed]
        if change.topology_changed:
            self.events.append(("topology_description_changed_event", (self.topology, new)))
        self.events += [("server_opening_event", address) for address in change.opened]
        for address in change.opened:
            self.generations[address] = 0
        self.topology = new

    def respond(self, address: Address, reply: dict[str, Any]) -> None:
        if not reply:
            known = self.topology.servers.get(address, ServerDescription(address))
            self._react(address, on_failed_check(known, AutoReconnect("the connection broke")))
        else:
            self._become(apply(self.topology, server_description_from_hello(address, reply), self.settings))

    def fail(self, failure: Failure) -> None:
        self._react(failure.address, on_error(failure, self.topology, self.generations[failure.address]))

    def _react(self, address: Address, reaction: Reaction) -> None:
        if reaction.server is not None:
            self._become(apply(self.topology, reaction.server, self.settings))
        if reaction.clear_pool:
            self.generations[address] += 1


def _mock_error(given: dict[str, Any]) -> DriverError:
    if given["type"] == "command":
        return _command_error(given["response"])
    error = NetworkTimeout("timed out") if given["type"] == "timeout" else AutoReconnect("the connection broke")
    if given["when"] == "beforeHandshakeCompletes":
        # As the pool does for connecting and for hello (CMAP, "Backpressure-enabled").
        error.add_error_label(SYSTEM_OVERLOADED)
        error.add_error_label(RETRYABLE)
    return error


def _command_error(reply: dict[str, Any]) -> DriverError:
    if not reply["ok"]:
        return command_error(reply)
    if "writeConcernError" in reply:
        return write_concern_error(reply["writeConcernError"], reply)
    return write_error(reply["writeErrors"][0], reply)


def _failure(given: dict[str, Any], interpreter: Interpreter) -> Failure:
    address = Address.parse(given["address"])
    return Failure(
        address,
        _mock_error(given),
        generation=given.get("generation", interpreter.generations[address]),
        completed_handshake=given["when"] == "afterHandshakeCompletes",
    )


def _type_name(server_type: str) -> str:
    """PossiblePrimary is for single-threaded drivers; for others it is the same as Unknown."""
    return "Unknown" if server_type == "PossiblePrimary" else server_type


_SERVER_FIELDS = {
    "setName": "set_name",
    "setVersion": "set_version",
    "electionId": "election_id",
    "logicalSessionTimeoutMinutes": "logical_session_timeout_minutes",
    "minWireVersion": "min_wire_version",
    "maxWireVersion": "max_wire_version",
    "topologyVersion": "topology_version",
}
_TOPOLOGY_FIELDS = {
    "setName": "set_name",
    "maxSetVersion": "max_set_version",
    "maxElectionId": "max_election_id",
    "compatible": "compatible",
    "logicalSessionTimeoutMinutes": "logical_session_timeout_minutes",
}


def _check_server(path: str, server: ServerDescription, expected: dict[str, Any]) -> None:
    expected = dict(expected)
    expected.pop("pool", None)
    equal(f"{path}.type", server.server_type.value, _type_name(expected.pop("type")))
    error = expected.pop("error", "")
    if error not in str(server.error):
        raise SpecFailure("the error says something else", f"{path}.error", error, str(server.error))
    for name, value in expected.items():
        # The data has null for a wire version that was never set; the driver has 0.
        wanted = value or 0 if name.endswith("WireVersion") else value
        equal(f"{path}.{name}", getattr(server, _SERVER_FIELDS[name]), wanted)


def _check_outcome(path: str, interpreter: Interpreter, expected: dict[str, Any]) -> None:
    topology, expected = interpreter.topology, dict(expected)
    equal(f"{path}.topologyType", topology.topology_type.value, expected.pop("topologyType"))
    servers = {Address.parse(address): server for address, server in expected.pop("servers").items()}
    equal(f"{path}.servers", set(topology.servers), set(servers))
    for address, server in servers.items():
        _check_server(f"{path}.servers[{address}]", topology.servers[address], server)
        if "pool" in server:
            generation = server["pool"]["generation"]
            equal(f"{path}.servers[{address}].pool.generation", interpreter.generations[address], generation)
    for name, value in expected.items():
        equal(f"{path}.{name}", getattr(topology, _TOPOLOGY_FIELDS[name]), value)


def _plain_server(server: ServerDescription) -> dict[str, Any]:
    plain: dict[str, Any] = {"address": str(server.address), "type": server.server_type.value}
    for name in ("hosts", "passives", "arbiters"):
        plain[name] = sorted(map(str, getattr(server, name)))
    if server.primary is not None:
        plain["primary"] = str(server.primary)
    if server.set_name is not None:
        plain["setName"] = server.set_name
    return plain


def _plain_topology(topology: TopologyDescription) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "topologyType": topology.topology_type.value,
        "servers": [_plain_server(server) for server in topology.servers.values()],
    }
    if topology.set_name is not None:
        plain["setName"] = topology.set_name
    return plain


def _plain_event(name: str, content: Any) -> dict[str, Any]:
    if name == "topology_description_changed_event":
        return {"previousDescription": _plain_topology(content[0]), "newDescription": _plain_topology(content[1])}
    if name == "server_description_changed_event":
        old, new = content
        return {
            "address": str(new.address),
            "previousDescription": _plain_server(old),
            "newDescription": _plain_server(new),
        }
    return {} if content is None else {"address": str(content)}


def _normalize(expected: Any) -> Any:
    """The data's events without the topology's arbitrary id, and without PossiblePrimary."""
    if isinstance(expected, dict):
        return {
            key: _type_name(value) if key == "type" else _normalize(value)
            for key, value in expected.items()
            if key != "topologyId"
        }
    if isinstance(expected, list):
        return [_normalize(item) for item in expected]
    return expected
