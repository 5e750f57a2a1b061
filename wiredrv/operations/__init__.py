"""One file per command family: build the command, read the reply, declare the traits. No I/O, no sessions.

An operation is a small frozen value. It says what it is (``Kind``), what it accepts, and whether it may be retried;
the executor does everything else. Fields of sessions and transactions are put on a command in one place only, and
that is not here: ``execution/decorate.py``.
"""
