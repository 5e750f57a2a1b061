"""How an operation is executed: the loop over its attempts is in ``attempts``, the round trip in ``exchange``.

Pure: ``decorate`` (the session fields of a command), ``circumstances``, ``labels``, ``retry``, ``run`` and ``pins``.
``servers`` finds the server of an attempt; ``learning`` updates the session from replies and failures; ``cancellation``
cleans up on the server after a cancelled operation.
"""
