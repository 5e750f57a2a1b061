"""One module for each family of commands: builds the command, reads the reply, declares the traits. No I/O, no
sessions.

An operation is a small frozen value. It says what it is (``OperationKind``), what it accepts, and whether it may be
retried; the executor does everything else. Only ``execution/decorate.py`` adds the fields of sessions and transactions
to a command.
"""
