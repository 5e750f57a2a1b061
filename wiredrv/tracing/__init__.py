"""OpenTelemetry spans of operations, transactions and commands. Loaded only by clients that are traced.

Pure: ``attributes`` (names and attributes of spans), ``failures`` (what a span says of an error) and ``transactions``
(when the span of a transaction starts and ends). ``spans`` talks to opentelemetry-api, the only module that imports it;
``executor`` is the executor of a traced client.

Rules kept here:

* Tracing changes no outcome: what fails here is logged, and the operation goes on without a span.
* No attribute holds a credential: a sensitive command has no span, and its errors are recorded without their text.
* Each span that is started is ended, also after a cancellation.

Specification: open-telemetry.
"""
