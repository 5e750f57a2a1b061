"""Stands in for ``mongos`` where it is not installed: it accepts every command and records it.

Run as ``python fake_mongos.py ARGUMENTS``. Each command is a line of JSON in the file that ``FAKE_MONGOS_LOG`` names.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys

import bson
from bson import json_util

from wiredrv.wire.framing import Framer
from wiredrv.wire.op_msg import decode_message, encode_message

VERSION = "5.0.9"
_shards: list[str] = []


class Handler(socketserver.BaseRequestHandler):
    """One connection."""

    def handle(self) -> None:
        framer = Framer()
        while data := self.request.recv(65536):
            message = framer.feed(data)
            if message is not None:
                request = decode_message(message)
                reply = bson.encode(answer(bson.decode(request.body)))
                self.request.sendall(encode_message(reply, 1, response_to=request.request_id))


def answer(command: dict[str, object]) -> dict[str, object]:
    """Reply ``ok: 1``."""
    record({"command": json_util.dumps(command)})
    if "listShards" in command:
        with open(os.environ["FAKE_MONGOS_LOG"]) as log:
            return {"ok": 1, "shards": [{"_id": line} for line in log if "addShard" in line]}
    return {"ok": 1, "msg": "isdbgrid", "ismaster": True, "maxWireVersion": 13}


def record(entry: dict[str, object]) -> None:
    """Write a line."""
    with open(os.environ["FAKE_MONGOS_LOG"], "a") as log:
        log.write(json.dumps(entry) + "\n")


def main(arguments: list[str]) -> None:
    """The program itself."""
    if "--version" in arguments:
        print(f"mongos version v{VERSION}")
        return
    record({"arguments": arguments})
    port = int(arguments[arguments.index("--port") + 1])
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler) as server:
        print("Waiting for connections", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
