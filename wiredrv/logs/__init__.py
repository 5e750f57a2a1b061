"""The driver's log: events as messages, through Python's ``logging``, at no cost while it is not enabled.

Each component of the logging specification has a logger: ``wiredrv.command``, ``wiredrv.topology``,
``wiredrv.serverSelection`` and ``wiredrv.connection``. A record's ``msg`` is a :class:`LogMessage`, whose ``data`` are
the keys and values that the specifications prescribe; as text it is one line. Levels and destinations are set as for
any Python logger; ``MONGODB_LOG_MAX_DOCUMENT_LENGTH`` bounds the documents in messages (1000 characters by default).

Specifications: logging, and the parts on log messages of command-logging-and-monitoring,
connection-monitoring-and-pooling, server-discovery-and-monitoring and server-selection.
"""
