"""How an operation travels: pure ``decorate``, ``retry`` and ``labels``; the one loop in ``executor``."""
