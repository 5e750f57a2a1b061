"""How an operation travels: the one loop is in ``executor``, the round trip in ``exchange``.

Pure: ``decorate`` (what goes on a command), ``labels``, ``retry``, ``run`` and ``pins``. ``learning`` writes to the
session what replies and failures teach; ``cancellation`` undoes on the server what a cancelled operation left there.
"""
