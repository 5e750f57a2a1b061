"""A fake DNS server on loopback: it serves the records that a test gives it, and nothing else.

It stands in for the public DNS, which tests cannot ask. It speaks real DNS over UDP, in a thread of its own, so that
the resolver under test runs unchanged on asyncio and on trio.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from wiredrv.types import Address


class FakeDNSServer:
    """Answers SRV and TXT queries. ``srv`` and ``txt`` may be changed while it runs; ``questions`` counts the queries.

    :param srv: full names, without the root's dot, and their targets.
    :param txt: full names and their records, each with its strings.
    :param ttl: the TTL of the answers, in seconds.
    """

    def __init__(
        self,
        srv: Mapping[str, Sequence[Address]],
        txt: Mapping[str, Sequence[Sequence[str]]] | None = None,
        ttl: int = 300,
    ) -> None:
        self.srv = dict(srv)
        self.txt = dict(txt or {})
        self.ttl = ttl
        self.questions: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._serve, name="fake DNS", daemon=True)

    @property
    def address(self) -> Address:
        """The address that it listens on."""
        host, port = self._socket.getsockname()
        return Address(host, port)

    def __enter__(self) -> Self:
        self._socket.bind(("127.0.0.1", 0))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join(timeout=10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(65_536)
            if not data:
                return
            self._socket.sendto(self._answer(dns.message.from_wire(data)).to_wire(), sender)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, kind))
        records = self._records(name, kind)
        if records:
            response.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, *records))
        elif name not in self.srv and name not in self.txt:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def _records(self, name: str, kind: str) -> list[str]:
        if kind == "SRV":
            return [f"0 0 {target.port} {target.host}." for target in self.srv.get(name, ())]
        return [" ".join(f'"{text}"' for text in strings) for strings in self.txt.get(name, ())]
