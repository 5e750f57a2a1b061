"""Stands in for the metadata services of Azure and Google Cloud, which answer within these clouds only."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from wiredrv.net import metadata


class FakeMetadataService(http.server.BaseHTTPRequestHandler):
    """Gives the answers that a test has put into ``answers``, and notes what it was asked."""

    asked: list[tuple[str, dict[str, str]]] = []
    answers: list[tuple[int, bytes]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        status, body = self.answers.pop(0)
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def fake_metadata_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeMetadataService]]:
    """Answer in the place of both services while the block runs."""
    server = http.server.HTTPServer(("127.0.0.1", 0), FakeMetadataService)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    genuine = metadata.get

    def get(host: str, target: str, headers: Any, seconds: float) -> tuple[int, bytes]:
        assert host in ("169.254.169.254", "metadata")
        return genuine("127.0.0.1", target, headers, seconds, server.server_address[1])

    monkeypatch.setattr(metadata, "get", get)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # never used
    monkeypatch.setattr(FakeMetadataService, "asked", [])
    monkeypatch.setattr(FakeMetadataService, "answers", [])
    yield FakeMetadataService
    server.shutdown()
    thread.join()
    server.server_close()
