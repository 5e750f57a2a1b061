"""One plain HTTP request to a metadata service of a cloud, which has a fixed address of its own. Blocking.

Proxies are not used and redirects not followed: nobody but the service itself is to answer.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping

_MOST_BYTES = 1 << 20


def get(host: str, target: str, headers: Mapping[str, str], seconds: float, port: int = 80) -> tuple[int, bytes]:
    """Send a GET request. To be called in a thread.

    :param host: the host's name or address.
    :param target: path and query.
    :param headers: the request's headers.
    :param seconds: how long connecting, and each read, may take.
    :returns: the status, and the answer.
    :raises OSError: the service cannot be reached, or does not answer in time.
    :raises http.client.HTTPException: what answers does not speak HTTP.
    """
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", target, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read(_MOST_BYTES)
    finally:
        connection.close()
