"""The peer: an in-memory deployment that answers every command correctly, until its replies are damaged.

A member is a name; a peer is the far end of one connection. The replies to commands are made in ``answers``.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import bson
from bson import CodecOptions, Int64, ObjectId, Timestamp
from bson.codec_options import DatetimeConversion

from tests.fuzz.answers import NOW, Record, answer_to, note_commit
from tests.fuzz.chance import Chance
from tests.fuzz.damage import Delivery, Envelope, Then, damaged, sound
from tests.support.scram_server import ScramServer
from wiredrv.types import Address, Received
from wiredrv.wire.compression import decompress, is_compressed
from wiredrv.wire.framing import Framer
from wiredrv.wire.op_msg import EXHAUST_ALLOWED, MORE_TO_COME, Message, decode_message

_HELLOS = frozenset({"hello", "isMaster", "ismaster"})
_SET = "rs"
#: Seconds between the hellos of a fast stream.
_HURRY = 0.002


@dataclass
class Plan:
    """What a case does to a deployment.

    :param kind: ``replica set``, ``standalone``, ``sharded`` or ``balanced``.
    :param wire_version: of every member.
    :param budget: how many replies are damaged, by category: ``command``, ``hello`` and ``connect``.
    :param rate: the probability that each is damaged, while the budget lasts.
    :param sockets: whether the client is connected by socket pairs.
    :param hurry: how many streamed hellos come at once, one after the other.
    """

    kind: str
    wire_version: int
    budget: dict[str, int]
    rate: dict[str, float]
    sockets: bool = False
    hurry: int = 0


class Deployment:
    """All members, and their shared state."""

    #: How many commands one operation may need. Retried transactions need a few hundred.
    most_commands = 3_000

    def __init__(self, plan: Plan, chance: Callable[[str], Chance]) -> None:
        self.plan = plan
        self.sockets = plan.sockets
        self.record = Record()
        self.runaway: Callable[[], None] = lambda: None
        self._chance = chance
        self._budget = dict(plan.budget)
        self._ordinals: Counter[str] = Counter()
        self._peers: list[Peer] = []
        self.recovered = False
        names = {"replica set": "abc", "standalone": "a", "sharded": "ab", "balanced": "a"}[plan.kind]
        self.members = {Address(f"{name}.test"): name for name in names}
        self._time = 1

    @property
    def uri(self) -> str:
        """The URI of a client of this deployment."""
        hosts = ",".join(str(address) for address in self.members)
        options = {"replica set": f"?replicaSet={_SET}", "balanced": "?loadBalanced=true"}.get(self.plan.kind, "")
        return f"mongodb://{hosts}/{options}"

    def recover(self) -> None:
        """Stop the damage, and restart: every connection is closed, as if the servers had restarted."""
        self.recovered = True
        for peer in self._peers:
            peer.closed = True

    def accept(self, address: Address) -> Peer | None:
        """A new connection to a member; None: it is refused."""
        name = self.members[address]
        if self._spoils("connect", name) is not None:
            self.record.log.append(f"{name}: refuses a connection")
            return None
        peer = Peer(self, name)
        self._peers = [known for known in self._peers if not known.closed]
        self._peers.append(peer)
        return peer

    def deliver(self, category: str, name: str, document: dict[str, Any], envelope: Envelope) -> Delivery:
        """A reply as it is sent: correct, or damaged."""
        chance = self._spoils(category, name)
        if chance is None:
            return sound(document, envelope)
        self.record.damages += 1
        return damaged(document, envelope, chance)

    def _spoils(self, category: str, name: str) -> Chance | None:
        """Whether the next reply of a category is damaged: the random numbers for the damage, or None."""
        if self.recovered or self._budget.get(category, 0) <= 0:
            return None
        stream = f"{category} {name}"
        self._ordinals[stream] += 1
        chance = self._chance(f"{stream} {self._ordinals[stream]}")
        if not chance.maybe(self.plan.rate.get(category, 0.5)):
            return None
        self._budget[category] -= 1
        return chance

    def draw(self, name: str) -> Chance:
        """Random numbers for a member's reply."""
        stream = f"answer {name}"
        self._ordinals[stream] += 1
        return self._chance(f"{stream} {self._ordinals[stream]}")

    def gossip(self) -> dict[str, Any]:
        """The fields at the end of every reply of a server with sessions."""
        if self.plan.kind == "standalone":
            return {"ok": 1.0}
        self._time += 1
        now = Timestamp(1_700_000_000, self._time)
        signature = {"hash": bytes(20), "keyId": Int64(0)}
        return {"ok": 1.0, "$clusterTime": {"clusterTime": now, "signature": signature}, "operationTime": now}

    def hello(self, name: str) -> dict[str, Any]:
        """A member's hello."""
        told: dict[str, Any] = {
            "helloOk": True,
            "ismaster": name == "a" or self.plan.kind != "replica set",
            "topologyVersion": {"processId": ObjectId(bytes(12)), "counter": Int64(6)},
            "maxBsonObjectSize": 16_777_216,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": NOW,
            "logicalSessionTimeoutMinutes": 30,
            "connectionId": 7,
            "minWireVersion": 0,
            "maxWireVersion": self.plan.wire_version,
            "readOnly": False,
        }
        told["isWritablePrimary"] = told["ismaster"]
        if self.plan.kind == "replica set":
            told.update(self._member(name))
        elif self.plan.kind != "standalone":
            told["msg"] = "isdbgrid"
        if self.plan.kind == "balanced":
            told["serviceId"] = ObjectId(b"service 0001")
        if self.plan.wire_version < 9 or self.plan.kind == "sharded":
            del told["topologyVersion"]
        return {**told, **self.gossip()}

    def _member(self, name: str) -> dict[str, Any]:
        hosts = [str(address) for address in self.members]
        # After its recovery a primary is newer than anything that was reported before.
        newest = (Int64(2**63 - 1), ObjectId(b"\xff" * 12)) if self.recovered else (1, ObjectId(b"election 001"))
        told: dict[str, Any] = {
            "setName": _SET,
            "setVersion": newest[0],
            "hosts": hosts,
            "primary": hosts[0],
            "me": f"{name}.test:27017",
            "secondary": name != "a",
            "tags": {"dc": name},
            "lastWrite": {"opTime": {"ts": Timestamp(1, 1), "t": Int64(1)}, "lastWriteDate": NOW},
        }
        if name == "a":
            told["electionId"] = newest[1]
        return told


class Peer:
    """The far end of one connection. ``pause`` is in seconds: the time until a stream's next hello."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        self.closed = False
        self.outgoing: list[bytes] = []
        self.pause: float | None = None
        self._deployment = deployment
        self._name = name
        self._framer = Framer(2**31 - 1)
        self._number = 1_000
        self._ending = False
        self._mute = False
        self._stream: tuple[dict[str, Any], int] | None = None
        self._scram: ScramServer | None = None
        self._hurry = deployment.plan.hurry

    def feed(self, data: bytes) -> None:
        """Process what the client sends, and answer it."""
        try:
            received = self._framer.feed(data)
            while received is not None and not self.closed:
                self._answer(received)
                received = self._framer.next()
        except Exception as error:  # what a driver sends must make sense, whatever it received
            self._deployment.record.nonsense.append(f"{error!r}: {data[:400]!r}")
            self.closed = True

    def take(self, most: int) -> bytes:
        """The next piece on its way to the client."""
        piece, rest = self.outgoing[0][:most], self.outgoing[0][most:]
        self.outgoing[:1] = [rest] if rest else []
        if self._ending and not self.outgoing:
            self.closed = True
        return piece

    def push(self) -> None:
        """Send the next hello of the stream."""
        if self._stream is None:
            return
        command, response_to = self._stream
        self._number += 1
        envelope = Envelope(self._number, response_to, MORE_TO_COME)
        self._stream = (command, self._number)
        self._set_pause(command)
        self._send("hello", self._deployment.hello(self._name), envelope)

    def _answer(self, received: Received) -> None:
        deployment = self._deployment
        deployment.record.commands += 1
        if deployment.record.commands > deployment.most_commands:
            self.closed = True
            deployment.runaway()
            return
        compressed = is_compressed(received)
        request = decode_message(decompress(received, 2**31 - 1))
        command = _command(request)
        name = next(iter(command))
        deployment.record.log.append(f"{self._name}: {name}")
        self._number += 1
        compressor = _COMPRESSORS.get(received[24]) if compressed else None
        envelope = Envelope(self._number, request.request_id, 0, compressor)
        if name in _HELLOS:
            self._greet(command, request, envelope)
        elif name in ("saslStart", "saslContinue"):
            self._send("hello", {**self._sasl(command), "ok": 1.0}, envelope)
        elif not request.more_to_come:
            self._reply(command, envelope)

    def _greet(self, command: dict[str, Any], request: Message, envelope: Envelope) -> None:
        hello = self._deployment.hello(self._name)
        if "client" in command:
            hello["compression"] = [name for name in command.get("compression", ()) if name in _COMPRESSORS.values()]
        if "saslSupportedMechs" in command:
            hello["saslSupportedMechs"] = ["SCRAM-SHA-1", "SCRAM-SHA-256"]
        if "speculativeAuthenticate" in command:
            hello["speculativeAuthenticate"] = self._sasl(command["speculativeAuthenticate"])
        if "topologyVersion" in command and request.flags & EXHAUST_ALLOWED:
            self._stream = (command, envelope.number)
            self._set_pause(command)
            envelope = Envelope(envelope.number, envelope.response_to, MORE_TO_COME, envelope.compressor)
        self._send("hello", hello, envelope)

    def _set_pause(self, command: Mapping[str, Any]) -> None:
        self._hurry -= 1
        wait = command.get("maxAwaitTimeMS")
        self.pause = _HURRY if self._hurry > 0 else (wait if isinstance(wait, int) and wait > 0 else 10_000) / 1000

    def _sasl(self, command: Mapping[str, Any]) -> dict[str, Any]:
        if self._scram is None:
            self._scram = copy.copy(_scram_server())
        if "mechanism" in command:
            payload = self._scram.first(bytes(command["payload"]))
            return {"conversationId": 1, "done": False, "payload": payload.encode()}
        try:
            payload = self._scram.final(bytes(command["payload"]))
        except Exception:  # the client received wrong values, and repeats them
            return {"ok": 0.0, "code": 18, "errmsg": "Authentication failed."}
        return {"conversationId": 1, "done": True, "payload": payload.encode()}

    def _reply(self, command: dict[str, Any], envelope: Envelope) -> None:
        deployment = self._deployment
        document = {**deployment.gossip(), **answer_to(command, deployment.record, deployment.draw(self._name))}
        if command.get("autocommit") is False and deployment.plan.kind == "sharded":
            document["recoveryToken"] = {"recoveryShardId": "s1"}
        delivery = self._send("command", document, envelope)
        if "commitTransaction" in command:
            note_commit(deployment.record, command, delivery)

    def _send(self, category: str, document: dict[str, Any], envelope: Envelope) -> Delivery:
        delivery = self._deployment.deliver(category, self._name, document, envelope)
        if delivery.what != "sound":
            self._deployment.record.log.append(f"{self._name}:   {delivery.what}, then {delivery.then.value}")
        if self._mute:
            return Delivery("said nothing", ())
        self.outgoing.extend(piece for piece in delivery.pieces if piece)
        if delivery.then is Then.CLOSE:
            self._ending = True
            self.closed = not self.outgoing
        elif delivery.then is Then.SAY_NOTHING:
            self._mute, self._stream, self.pause = True, None, None
        return delivery


_COMPRESSORS = {1: "snappy", 2: "zlib", 3: "zstd"}


@cache
def _scram_server() -> ScramServer:
    return ScramServer("SCRAM-SHA-256", b"secret")


#: A server stores dates that Python cannot hold.
_ANY_DATE = CodecOptions[dict[str, Any]](datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def _command(request: Message) -> dict[str, Any]:
    command: dict[str, Any] = bson.decode(request.body, _ANY_DATE)
    for sequence in request.sequences:
        command[sequence.identifier] = [bson.decode(document, _ANY_DATE) for document in sequence.documents]
    return command
