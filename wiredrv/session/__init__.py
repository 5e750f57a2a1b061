"""The heart: what a session is, pure. No sockets, no event loop, no knowledge of connections or topologies."""
