"""The version. It is on the lowest layer because the handshake sends it to the server."""

__version__ = "0.1.0"
