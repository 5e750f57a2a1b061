"""Bytes to messages and back, sans-IO: no sockets, no clock, no event loop.

``op_msg`` builds and reads messages, ``framing`` cuts a byte stream into messages, ``codec`` is the one place that
calls the BSON encoder, ``checksum`` is CRC-32C. Everything malformed ends in :class:`~wiredrv.errors.ProtocolError`.
"""
