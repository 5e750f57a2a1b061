"""The settings of the executor: what may be retried, and how long an operation may take.

Values only. ``options/uri.py`` builds them from the options that are named beside each field (retryable-reads,
retryable-writes, client-backpressure and client-side-operations-timeout specifications).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """How operations are retried and bounded.

    :param retry_reads: ``retryReads``: whether reads are retried.
    :param retry_writes: ``retryWrites``: whether writes are retried.
    :param max_adaptive_retries: ``maxAdaptiveRetries``: how often an operation is retried because of overload.
    :param enable_overload_retargeting: ``enableOverloadRetargeting``: whether such a retry avoids that server.
    :param timeout: ``timeoutMS``: seconds for a whole operation, its retries included. None: not set; ``math.inf``
        (``timeoutMS=0``): set, without limit.
    """

    retry_reads: bool = True
    retry_writes: bool = True
    max_adaptive_retries: int = 2
    enable_overload_retargeting: bool = False
    timeout: float | None = None
