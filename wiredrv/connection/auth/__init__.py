"""Authentication, sans-IO: conversations that yield commands and receive the replies. No sockets, no event loop.

``negotiation`` chooses the mechanism and its part of the handshake, ``mechanisms`` starts a conversation, ``scram`` is
that of SCRAM, ``saslprep`` and ``keys`` do its computations. ``wiredrv.connection.authenticate`` runs a conversation on
a connection.

Specification: auth.
"""
