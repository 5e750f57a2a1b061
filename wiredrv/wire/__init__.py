"""Bytes to messages and back, sans-IO: no sockets, no clock, no event loop.

``op_msg`` builds and reads messages, ``framing`` splits a byte stream into messages, ``codec`` is the only module that
calls the BSON encoder, ``checksum`` is CRC-32C. Malformed messages raise :class:`~wiredrv.errors.ProtocolError`.
"""
