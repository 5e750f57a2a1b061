"""One connection to one server: handshake, authentication, round trip. No pool, no topology, no sessions."""
