"""Small values and Protocols that every layer may use. Nothing here does I/O or implements a specification's
algorithm.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

#: A BSON document that is read and not changed: a filter, a stage of a pipeline, the options of a command.
Document: TypeAlias = Mapping[str, Any]
#: A BSON document as a dict: what the driver builds, or decodes with its own options.
PlainDocument: TypeAlias = dict[str, Any]
#: The stages of an aggregation, or of an update.
Pipeline: TypeAlias = Sequence[Document]
#: A reply of the server.
Reply: TypeAlias = Document
#: A message to send: in one piece, or in several so that large documents are not copied.
Buffers: TypeAlias = bytes | list[bytes]
#: A whole message that was received: a large one in the memory that it was received into.
Received: TypeAlias = bytes | bytearray
#: The body of a message that was received: of a large one a view, so that it is not copied.
Body: TypeAlias = Received | memoryview
#: Starts a background task in the client's task group: ``spawn(function, *arguments)``.
Spawn: TypeAlias = Callable[..., None]

if TYPE_CHECKING:
    # Every type checker knows this package; it is not needed at run time. Python 3.13 has its TypeVar.
    from typing_extensions import TypeVar

    #: The class of the documents that a client, a database or a collection returns: ``document_class``.
    DocumentT = TypeVar("DocumentT", bound=Mapping[str, Any], default=dict[str, Any])
    #: The same of a handle that is made from another one.
    OtherDocumentT = TypeVar("OtherDocumentT", bound=Mapping[str, Any], default=dict[str, Any])
    #: The same of what only gives documents, as cursors do.
    DocumentT_co = TypeVar("DocumentT_co", bound=Mapping[str, Any], default=dict[str, Any], covariant=True)
else:
    from typing import TypeVar

    DocumentT = TypeVar("DocumentT")
    OtherDocumentT = TypeVar("OtherDocumentT")
    DocumentT_co = TypeVar("DocumentT_co", covariant=True)

DEFAULT_PORT = 27017


def foreign_note(value: object) -> str:
    """Say that an object belongs to another driver, for the error that refuses it; an empty string if it does not."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    if package not in ("pymongo", "motor"):
        return ""
    return f": {kind.__name__} is {package}'s, and only wiredrv's own is taken here"


def near_match(given: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, whatever its case and underscores; None if no name is like it."""
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(name.lower().replace("_", ""), name)
    near = difflib.get_close_matches(given.lower().replace("_", ""), plain, n=1, cutoff=0.75)
    return plain[near[0]] if near else None


class Address(NamedTuple):
    """Where a server listens: a host and a port, or the path of a Unix socket. Connection-string specification.

    :param host: the host's name or IP address, in lower case; or the path of a Unix socket.
    :param port: the port; None for a Unix socket.
    """

    host: str
    port: int | None = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host``, ``host:port``, ``[v6]:port`` or a path that ends in ``.sock``.

        Host names are compared without regard to case, so they are lowered here (SDAM, "Hostnames are normalized to
        lower-case").

        :param text: the address.
        :returns: the address, in lower case, with port 27017 unless there is another.
        :raises ValueError: the port is not a number from 1 to 65535, the host is empty or contains a character that is
            not allowed in hosts.
        """
        if not text.isprintable() or (" " in text and not text.endswith(".sock")):
            raise ValueError(f"{text!r} is not a valid address: it contains a space or a control character")
        if text.endswith(".sock"):
            return cls(text, None)
        host, port = text, ""
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise ValueError(f"{text!r} is not a valid address: an IPv6 host is written [::1]:27017")
            port, has_port = rest[1:], bool(rest)
        else:
            has_port = ":" in text
            if has_port:
                host, _, port = text.partition(":")
                if ":" in port:
                    raise ValueError(f"{text!r} is not a valid address: write an IPv6 host in brackets, [::1]:27017")
        if not host:
            raise ValueError(f"{text!r} is not a valid address: the host is empty")
        if not has_port:
            return cls(host.lower(), DEFAULT_PORT)
        if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
            raise ValueError(f"{text!r} is not a valid address: the port must be a number from 1 to 65535")
        return cls(host.lower(), int(port))

    def __str__(self) -> str:
        if self.port is None:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server accepts, as its handshake says; sizes are bytes."""

    max_wire_version: int
    max_bson_object_size: int
    max_message_size: int
    max_write_batch_size: int


#: Seconds: a time limit that is at least as long is one of any length. The clock could not tell when it ends.
FOREVER: Final = 2**40


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """How long an operation may take, its retries included. Client-side-operations-timeout specification.

    :param seconds: the whole limit; ``math.inf`` for none, which still means that ``timeoutMS`` is in use.
    :param until: when it ends, on the monotonic clock, if it has started.
    :param of_call: whether it was given to the call itself, not to its handle.
    :param on_server: whether the server is told the time that is left (``maxTimeMS``).
    """

    seconds: float
    until: float | None = None
    of_call: bool = False
    on_server: bool = True

    def started(self, now: float) -> TimeLimit:
        """The limit, running since ``now`` if it was not running before."""
        return self if self.until is not None else replace(self, until=now + self.seconds)

    def restarted(self, now: float) -> TimeLimit:
        """The whole limit again, running since ``now``."""
        return replace(self, until=now + self.seconds)


@runtime_checkable
class Pin(Protocol):
    """What a session may be pinned to: a mongos' address or, behind a load balancer, a connection.

    The session layer only keeps and releases a pin; the executor uses it.
    """

    @property
    def address(self) -> Address:
        """The server that is pinned."""
        ...

    def hold(self) -> Self:
        """Add a holder."""
        ...

    def release(self) -> None:
        """Remove a holder; the last one gives back what is pinned."""
        ...

    @property
    def for_stream(self) -> bool:
        """Whether it is a connection on which a server streams replies: nothing else can be sent there meanwhile."""
        ...


#: How many bytes are allocated at most for a message of which only its length has arrived.
_FIRST_MEMORY = 4 << 20


class ReceiveBuffer:
    """The memory for a message whose length is known; a transport receives the rest of it there.

    A peer may declare any length. So the memory grows with what arrives: after its first size, which is 4 MiB at most,
    it is never more than twice that.

    :param length: the length of the whole message.
    :param beginning: the part that has arrived, which is shorter.
    """

    __slots__ = ("_length", "_memory", "_received")

    def __init__(self, length: int, beginning: bytes | bytearray) -> None:
        self._length = length
        self._received = 0
        # Doubled as often as it was halved here, it is as long as the message, but for a few bytes.
        halvings = (length // _FIRST_MEMORY).bit_length()
        self._memory = bytearray(-(-length >> halvings))
        self.put(beginning)

    @property
    def missing(self) -> int:
        """How many bytes have not arrived yet."""
        return self._length - self._received

    @property
    def received(self) -> int:
        """How many bytes have arrived."""
        return self._received

    def space(self) -> memoryview:
        """Where the next bytes belong; never empty unless the message is whole. Drop it before the next call."""
        if self._received == len(self._memory) < self._length:
            self._memory *= 2
        return memoryview(self._memory)[self._received : self._length]

    def add(self, count: int) -> None:
        """So many bytes were written to the beginning of :meth:`space`."""
        self._received += count

    def put(self, data: bytes | bytearray | memoryview) -> None:
        """Copy bytes that have arrived.

        :raises ValueError: they are more than are missing.
        """
        rest = memoryview(data)
        if len(rest) > self.missing:
            raise ValueError(f"{len(rest)} bytes where {self.missing} are missing")
        while rest:
            with self.space() as space:
                count = min(len(space), len(rest))
                space[:count] = rest[:count]
            self._received += count
            rest = rest[count:]

    def message(self) -> bytearray:
        """The whole message."""
        del self._memory[self._length :]
        return self._memory


class ServerCursor(NamedTuple):
    """A cursor that is open on a server, and all that is needed to kill it.

    ``lease`` is the implicit server session that was kept for it, and ``pin`` the connection that it needs behind a
    load balancer; both are given back once the cursor is killed. ``limit`` is how long killing it may take;
    ``done`` is called afterwards.
    """

    address: Address
    id: int
    namespace: str
    lease: Any = None
    pin: Pin | None = None
    limit: TimeLimit | None = None
    done: Callable[[], None] | None = None


class SentCommand(NamedTuple):
    """A command of a transaction. This driver's own: no specification has it.

    :param name: the command's name.
    :param address: the server that it was sent to.
    :param started: seconds since the transaction started.
    :param duration: seconds until its answer or failure.
    :param outcome: ``ok``, or what went wrong.
    """

    name: str
    address: Address
    started: float
    duration: float
    outcome: str


#: How many commands a summary shows from the beginning of a transaction, and how many from its end.
_SHOWN_COMMANDS = 10


class RecordedTimeline(Protocol):
    """A part of a recording: a ``wiredrv.Timeline``, as an error of a transaction carries it.

    This driver's own: no specification has it.
    """

    @property
    def records(self) -> Sequence[object]:
        """What was recorded: records of ``wiredrv.timeline.records``, by time."""
        ...

    @property
    def dropped(self) -> int:
        """How many records were dropped, the oldest first."""
        ...

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file, as JSON lines.

        :param path: the file; one that exists is replaced.
        """
        ...

    def html(self, path: str | PathLike[str]) -> None:
        """Write it to a page of HTML.

        :param path: the file; one that exists is replaced.
        """
        ...

    def show(self) -> None:
        """Print it, as ``wiredrv timeline`` does. Needs the extra ``cli``."""
        ...


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """What is known of a transaction that failed: carried by its error as ``error.transaction``.

    This driver's own: no specification has it.

    :param attempt: which attempt of ``with_transaction`` it was, from 1.
    :param txn_number: the transaction's number in its session.
    :param server: the router or load balancer that it was pinned to, if any.
    :param commands: what was sent, in order; of more than a thousand, the first and the last ones.
    :param cause: the first error in the transaction; once it is not referenced elsewhere, a copy without its traceback.
    :param session_id: the id of its session (``lsid``), as servers log it.
    :param left_out: how many commands are missing in ``commands``, after the first hundred.
    :param timeline: the part of the recording that belongs to it; None if it was not recorded.
    """

    attempt: int
    txn_number: int
    server: Address | None
    commands: tuple[SentCommand, ...]
    cause: BaseException | None
    session_id: str = ""
    left_out: int = 0
    timeline: RecordedTimeline | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        text = self.summary()
        return text if self.cause is None else f"{text}\n  first failure: {type(self.cause).__name__}: {self.cause}"

    def summary(self) -> str:
        """The record without the messages of errors, which may hold values of documents.

        :returns: the lines; of many commands, those of the first and the last ones.
        """
        session = f" of session {self.session_id}" if self.session_id else ""
        where = f" on {self.server}" if self.server is not None else ""
        lines = [f"transaction {self.txn_number}{session}{where}, attempt {self.attempt}"]
        middle = len(self.commands) - 2 * _SHOWN_COMMANDS
        if self.left_out or middle > 1:
            lines += map(_line, self.commands[:_SHOWN_COMMANDS])
            lines.append(f"  ... and {middle + self.left_out} more commands")
            lines += map(_line, self.commands[-_SHOWN_COMMANDS:])
        else:
            lines += map(_line, self.commands)
        return "\n".join(lines)


def _line(sent: SentCommand) -> str:
    started, duration = sent.started * 1000, sent.duration * 1000
    return f"  {started:8.1f} ms  {sent.name} -> {sent.address}: {sent.outcome} ({duration:.1f} ms)"
