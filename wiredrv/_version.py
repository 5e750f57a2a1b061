"""The version, on the lowest floor: the handshake tells it to the server, and the package shows it to everybody."""

__version__ = "0.1.0"
