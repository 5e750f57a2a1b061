"""``make demo``: what sessions are good for, shown on a real replica set and checked while it is shown.

Four parts: reading one's own write from a secondary, transfers in transactions, a primary that is killed during
transfers, and snapshot reads. Each states what must hold and measures whether it does; the exit status of ``python -m
demo`` is 1 when something does not. The parts are modules of this package, next to :mod:`~demo.verdicts`, which checks
what they measured and does not use any server.

The demo uses the driver as any program does. It is not part of the installed package: it needs a clone of the
repository.
"""
