"""Tests that no driver like this one can pass, each with its reason: they count as unsupported."""

from __future__ import annotations

from collections.abc import Mapping

_NOT_LATE = "no getMore is late: the fail point holds one back for 60 ms, and it has 100 ms or no limit"

#: By file and description.
INAPPLICABLE: Mapping[tuple[str, str], str] = {
    (
        "runCursorCommand.json",
        "Non-tailable cursor iteration timeoutMS is refreshed for getMore if timeoutMode is iteration - failure",
    ): _NOT_LATE,
    ("runCursorCommand.json", "Tailable cursor iteration timeoutMS is refreshed for getMore - failure"): _NOT_LATE,
    (
        "runCursorCommand.json",
        "Tailable cursor awaitData iteration timeoutMS is refreshed for getMore - failure",
    ): _NOT_LATE,
    (
        "tailable-awaitData.json",
        "apply remaining timeoutMS if less than maxAwaitTimeMS",
    ): "it is for drivers whose next() sends getMores until there is a document; here, as in PyMongo, it sends one",
}
