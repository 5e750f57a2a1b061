"""Authentication, sans-IO: conversations that say what to send and take the replies. No sockets, no event loop.

``negotiation`` decides which mechanism to speak and what to say of it in the handshake, ``mechanisms`` begins a
conversation, ``scram`` holds that of SCRAM, ``saslprep`` and ``keys`` are its arithmetic. What runs a conversation on
a connection is ``wiredrv.connection.authenticate``.

Specification: auth.
"""
