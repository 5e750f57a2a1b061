"""Change streams in scenarios. What opens one is compared like any command; of reading it, the events and the session.

When an event arrives is up to the server, and so is which reply it is in. So a stream is read until it has nothing
more: ``drain``.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.differential import values as v
from tests.differential.calls import Call, Get, Take, Target, TheDatabase, TheSession
from tests.differential.methods import Draw
from tests.differential.values import Strategy

#: How long the server waits for an event: as often as a stream is drained.
_WAIT = 100
_PIPELINES: Strategy = st.sampled_from(
    (
        None,
        None,
        None,
        [],
        [],
        [{"$match": {"operationType": {"$in": ["insert", "delete"]}}}],
        [{"$project": {"documentKey": 1, "operationType": 1}}],
        [{"$project": {"_id": 0}}],
        [{"$nope": 1}],
        {},
    )
)
_OPTIONS: dict[str, Strategy] = {
    "full_document": st.sampled_from(("updateLookup", "updateLookup", "whenAvailable", "required", "nope", 5)),
    "full_document_before_change": st.sampled_from(("off", "whenAvailable", "required", "nope")),
    "batch_size": v.COUNTS,
    "collation": v.COLLATIONS,
    "comment": v.COMMENTS,
    "show_expanded_events": v.FLAGS,
    "start_after": st.sampled_from(({"_data": "no token"}, 5, "text", None)),
}
#: The methods that change data while it is watched. Their events come in one order.
CHANGES = frozenset(
    {
        "insert_one",
        "insert_many",
        "update_one",
        "replace_one",
        "delete_one",
        "find_one_and_delete",
        "find_one_and_update",
        "bulk_write",
        "drop",
        "rename",
    }
)
EVENT_METHODS = ("drain", "drain", "drain", "try_next", "close")
EVENT_ATTRIBUTES = ("alive", "resume_token")


def draw_watch(draw: Draw, session: TheSession | None, number: int, earlier: list[int]) -> Call:
    """Open a change stream, from now on called ``number``, sometimes where an earlier one has arrived."""
    pipeline: Any = draw(_PIPELINES)
    target = draw(st.sampled_from((*[Target("collection", "people")] * 3, Target("database"), Target("client"))))
    if target.kind == "client":
        # Others change their own databases meanwhile.
        pipeline = [{"$match": {"ns.db": TheDatabase()}}]
    given: list[tuple[str, Any]] = [("max_await_time_ms", _WAIT)]
    if draw(st.booleans()):
        name = draw(st.sampled_from(list(_OPTIONS)))
        given.append((name, draw(_OPTIONS[name])))
    elif earlier and draw(st.booleans()):
        token = Get(Target("events", draw(st.sampled_from(earlier))), "resume_token")
        given.append((draw(st.sampled_from(("resume_after", "start_after"))), token))
    if session is not None:
        given.append(("session", session))
    args = () if pipeline is None else (pipeline,)
    return Call(target, "watch", args, tuple(given), Take("keep", number))


def draw_use_of_events(draw: Draw, number: int) -> Call | Get:
    """Read the stream, or look at it."""
    target = Target("events", number)
    name = draw(st.sampled_from((*EVENT_METHODS, *EVENT_ATTRIBUTES)))
    return Get(target, name) if name in EVENT_ATTRIBUTES else Call(target, name)
