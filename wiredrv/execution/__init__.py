"""How an operation travels: the one loop is in ``attempts``, the round trip in ``exchange``.

Pure: ``decorate`` (what goes on a command), ``circumstances``, ``labels``, ``retry``, ``run`` and ``pins``. ``servers``
finds the server of an attempt; ``learning`` writes to the session what replies and failures teach; ``cancellation``
undoes on the server what a cancelled operation left there.
"""
