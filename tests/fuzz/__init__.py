"""Fuzzing through the public API: a client talks to an in-memory deployment, whose correct replies are damaged.

``make fuzz`` runs it; ``tests/fuzz/__main__.py`` lists its options. The steps of a case:

1. ``chance`` draws everything from the run's seed and the case's number, so that a case can be replayed alone. Even
   numbers run on asyncio, odd ones on trio.
2. ``clock`` runs both event loops on virtual time: nothing really waits, and a case takes milliseconds even if the
   driver waits 30 seconds for a server.
3. ``deployment`` is the peer: a replica set, a standalone, routers, or a load balancer. It answers every command
   correctly (``answers``). ``transport`` connects the client to it, in memory or through a socket pair.
4. ``damage`` replaces some of the replies: wrong values (``values``), wrong BSON (``bson_bytes``), wrong messages and
   streams.
5. ``operations`` and ``sessions`` call the public API; ``case`` checks the results: a value or a DriverError, in
   bounded time.
6. The peer recovers. The client must work again, and ``watch`` looks for leaks.
"""
