"""One server process on a loopback port: started, asked, stopped, killed, frozen, thawed, restarted.

Everything here is synchronous and returns quickly: ``kill``, ``freeze`` and ``thaw`` immediately; ``start`` does not
wait for the server to answer; ``stop`` and ``restart`` take about a second. All of them block the event loop meanwhile,
so a coroutine that must not block its loop for a second runs those two with ``anyio.to_thread.run_sync``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wiredrv.errors import ConnectionFailure, DriverError, InvalidOperation
from wiredrv.local._ask import ask
from wiredrv.local._wait import until
from wiredrv.types import Address, Document, PlainDocument

LOOPBACK = "127.0.0.1"

#: Below the range from which systems take the ports of outgoing connections: while a member is down for a moment, no
#: connection can be given its port by chance.
PORTS = range(20_000, 32_000)
_LONGEST_SOCKET_PATH = 100  # bytes; systems allow 104 to 108
_STOPS_WITHIN = 20.0
#: How many files and connections a server may have open at least. macOS allows a program 256 unless it asks for more.
_OPEN_FILES = 4096
_WITH_OPEN_FILES = ("/bin/sh", "-c", f'ulimit -S -n {_OPEN_FILES} 2>/dev/null; exec "$0" "$@"')
_TAIL_ERRORS, _TAIL_LINES, _TAIL_WIDTH = 5, 10, 300


@dataclass(frozen=True, slots=True)
class Launch:
    """What stays the same whenever a server is started: its program, its arguments, its process group."""

    program: Path
    arguments: Sequence[str]
    group: int


class Server:
    """A server process."""

    def __init__(self, launch: Launch, directory: Path, port: int) -> None:
        #: Where it listens.
        self.address = Address(LOOPBACK, port)
        #: Holds its data.
        self.directory = directory
        #: Its log file.
        self.log = directory.with_suffix(".log")
        self._launch = launch
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = self._wanted = False
        self._log_start = 0

    def __repr__(self) -> str:
        return f"<Server {self.address} {self.state}>"

    @property
    def port(self) -> int:
        """The loopback port."""
        assert self.address.port is not None
        return self.address.port

    @property
    def state(self) -> str:
        """``running``, ``frozen`` or ``stopped``."""
        if not self.running:
            return "stopped"
        return "frozen" if self._frozen else "running"

    @property
    def running(self) -> bool:
        """Whether there is a live process, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether the process was frozen and not thawed since."""
        return self.running and self._frozen

    @property
    def failed(self) -> bool:
        """Whether the process ended without having been stopped or killed here."""
        return self._wanted and not self.running

    @property
    def pid(self) -> int | None:
        """The process id, or None if no process is running."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def socket_path(self) -> Path | None:
        """The server's Unix socket; None where its path would be longer than systems allow."""
        path = self.directory.parent / f"mongodb-{self.address.port}.sock"
        return path if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH else None

    def start(self) -> None:
        """Start the process; :meth:`wait_listening` tells when it answers.

        :raises InvalidOperation: it runs already.
        :raises ConnectionFailure: the program cannot be started.
        """
        if self.running:
            raise InvalidOperation(f"the server {self.address} runs already")
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as log:
                self._log_start = log.tell()
                self._process = subprocess.Popen(
                    [*_more_open_files(), *self._command()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    process_group=self._launch.group,
                    env={**os.environ, "LC_ALL": "C"},  # a locale that is not installed would end the server
                )
        except OSError as error:
            raise ConnectionFailure(f"{self._launch.program} cannot be started: {error.strerror}") from error
        self._frozen, self._wanted = False, True

    def move(self, port: int) -> None:
        """Have the server listen on another port when it is started next.

        :param port: the port.
        """
        self.address = Address(LOOPBACK, port)

    def is_listening(self) -> bool:
        """Whether the process takes connections.

        This reads its log instead of connecting to its port, where another program may answer.

        :returns: whether it does.
        :raises ConnectionFailure: the process has ended; the message has the tail of its log.
        """
        # Before the log, so that what a process wrote just before it ended is not missed.
        running = self.running
        listening = b"aiting for connections" in self._log_since_start()
        if not running:
            raise ConnectionFailure(f"{self.address} {self._how_it_ended()}.\n{self.log_tail()}")
        return listening

    def wait_listening(self, timeout: float = 30.0) -> None:
        """Wait until the process takes connections.

        :param timeout: seconds to wait.
        :raises ConnectionFailure: it ended, or the time is up; the message has the tail of its log.
        """
        if not until(self.is_listening, timeout):
            raise ConnectionFailure(f"{self.address} did not listen in time.\n{self.log_tail()}")

    def port_was_taken(self) -> bool:
        """Whether the process ended because another one has its port.

        :returns: whether that is why it ended.
        """
        return not self.running and b"Address already in use" in self._log_since_start()

    def ask(self, command: Document, timeout: float = 1.0) -> PlainDocument:
        """Run a command on the server's ``admin`` database, on a connection of its own.

        :param command: the command; its first key is the command's name.
        :param timeout: seconds for each of connecting, sending and receiving.
        :returns: the reply.
        :raises ConnectionFailure: no answer.
        :raises DriverError: the server answered with an error.
        """
        return ask(self.address, command, timeout)

    def hello(self) -> PlainDocument:
        """What the server says of its role; empty when it is stopped, frozen or does not answer.

        :returns: the reply to ``isMaster``, or an empty mapping.
        """
        if self.state != "running":
            return {}
        try:
            return self.ask({"isMaster": 1})  # the name that every supported version accepts
        except DriverError:
            return {}

    def stop(self, timeout: float = _STOPS_WITHIN) -> None:
        """Shut the server down in good order: a primary steps down first. Nothing happens when it is down already.

        :param timeout: seconds after which it is killed.
        """
        self.terminate()
        if self._process is None:
            return
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def terminate(self) -> None:
        """Ask the server to shut down, as :meth:`stop` does, and do not wait until it has."""
        self._wanted = False
        if self._process is not None:
            self.thaw()
            self._process.terminate()

    def kill(self) -> None:
        """End the process immediately (SIGKILL), frozen or not. Does nothing if it is down already."""
        self._wanted = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Suspend the process (SIGSTOP): its connections stay open and nothing answers.

        :raises InvalidOperation: it is down.
        """
        pid = self._signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):  # on macOS since Python 3.13
            # Its threads run on for a moment; a reply after this call would be a surprise.
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self._frozen = True

    def thaw(self) -> None:
        """Resume a frozen process (SIGCONT). Does nothing if it is not frozen."""
        if self.frozen:
            self._signal(signal.SIGCONT)
            self._frozen = False

    def restart(self, timeout: float = 30.0) -> None:
        """Start the server on its port and data again, after stopping it where it runs; return when it listens.

        :param timeout: seconds for it to listen.
        :raises ConnectionFailure: it does not; the message has the tail of its log.
        """
        self.stop()
        self.start()
        self.wait_listening(timeout)

    def log_tail(self) -> str:
        """The last lines of the server's log since its start, made readable; before them the last errors in it.

        :returns: the lines.
        """
        lines = [_readable(line) for line in self._log_since_start().decode(errors="replace").splitlines()]
        # A server that fails says much more while it shuts down.
        errors = [line for line in lines[:-_TAIL_LINES] if line.lstrip().startswith(("E ", "F "))]
        return "\n".join([f"The end of {self.log}:", *errors[-_TAIL_ERRORS:], *lines[-_TAIL_LINES:]])

    def _command(self) -> list[str]:
        path = self.socket_path
        unix_socket = ["--nounixsocket"] if path is None else ["--unixSocketPrefix", str(path.parent)]
        return [
            str(self._launch.program),
            *("--port", str(self.address.port)),
            *("--bind_ip", LOOPBACK),
            *("--dbpath", str(self.directory)),
            *unix_socket,
            *self._launch.arguments,
        ]

    def _signal(self, number: signal.Signals) -> int:
        if self._process is None or not self.running:
            raise InvalidOperation(f"the server {self.address} is down")
        self._process.send_signal(number)
        return self._process.pid

    def _how_it_ended(self) -> str:
        return "was not started" if self._process is None else f"ended with status {self._process.returncode}"

    def _log_since_start(self) -> bytes:
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                return log.read()
        except FileNotFoundError:
            return b""


def _more_open_files() -> Sequence[str]:
    """What to put before a command, so that it may open enough files. The process and its id stay the same."""
    import resource  # where there is none, no server can be started either

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return () if soft == resource.RLIM_INFINITY or soft >= _OPEN_FILES else _WITH_OPEN_FILES


def free_ports(count: int) -> list[int]:
    """Unused loopback ports. Another process may take one before it is used: callers must be ready to retry.

    :raises ConnectionFailure: there are not as many.
    """
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    if len(found) < count:
        raise ConnectionFailure(f"fewer than {count} loopback ports are free from {PORTS.start} to {PORTS.stop}")
    return found


def is_free(port: int) -> bool:
    """Whether a server can listen on the loopback port now."""
    with socket.socket() as probe:
        # As the server itself does: connections of an earlier server that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _readable(line: str) -> str:
    """A log line without what surrounds the message: servers since 4.4 write JSON."""
    try:
        entry = json.loads(line)
        text = f"{entry['s']} {entry['c']} {entry['msg']} {json.dumps(entry.get('attr', {}))}"
    except (ValueError, KeyError, TypeError):
        text = line
    return "  " + text[:_TAIL_WIDTH]
