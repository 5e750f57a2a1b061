"""The data-driven cases of specifications: tables that are run through the driver's pure functions, without a server.

Each module reads the data of one family and interprets it. They are the only part of the runner that uses the driver's
internals: a table of transitions or of option values tests a function, not the behaviour of the driver as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from spec_tests.data import cmap, sdam, selection, srv, strings
from spec_tests.data.case import DataCase

#: Readers of data-driven cases, by folder: each is called with the ``tests`` folder of a specification.
DATA_SUITES: Mapping[str, Callable[[Path], Iterable[DataCase]]] = {
    "auth": strings.auth,
    "connection-monitoring-and-pooling": cmap.pools,
    "connection-string": strings.connection_string,
    "initial-dns-seedlist-discovery": srv.seedlists,
    "max-staleness": selection.max_staleness,
    "read-write-concern": strings.concerns,
    "server-discovery-and-monitoring": sdam.phases,
    "server-selection": selection.server_selection,
    "uri-options": strings.uri_options,
}
