"""How an operation travels: the one loop in ``executor``, the round trip in ``exchange``, cleaning up in ``cancellation``.

Pure: ``decorate`` (what goes on a command), ``labels``, ``retry``, ``run`` and ``pins``. ``learning`` writes to the session what
replies and failures teach.
"""
