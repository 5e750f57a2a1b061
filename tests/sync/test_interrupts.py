"""A Ctrl-C in a call: the driver cleans up as after a cancellation, and the client can be used afterwards."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from wiredrv.local import ReplicaSet
from wiredrv.sync import Client


def test_a_ctrl_c_in_a_call_is_raised_within_the_budget_and_the_connection_is_kept(replica_set: ReplicaSet) -> None:
    with Client(replica_set.uri) as client:
        client.db.items.drop()
        client.db.items.insert_one({"_id": 1})
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
        timer.start()
        begin = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.db.items.find_one({"$where": "sleep(20000) || true"})
        assert time.monotonic() - begin < 5
        assert client.db.items.find_one({}) == {"_id": 1}
        client.db.items.drop()
