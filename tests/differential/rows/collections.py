"""Rows of the table: collections, indexes and databases."""

from __future__ import annotations

from collections.abc import Sequence

from tests.differential.conditions import (
    arguments,
    failed,
    field,
    says,
)
from tests.differential.outcomes import Difference, Failed
from tests.differential.row import Known
from tests.differential.short import (
    CLIENT,
    DATABASE,
    IGNORE,
    PEOPLE,
    call,
)


def existence_asked(difference: Difference) -> bool:
    theirs, ours = difference.their_record, difference.our_record
    if theirs is None or ours is None or theirs.names[:1] != ["listCollections"] or ours.names != ["create"]:
        return False
    # In a snapshot session, the server refuses the command that checks.
    refused = theirs.names == ["listCollections"] and failed(theirs.outcome, "OperationFailure")
    return difference.what == "commands" or (refused and difference.what in ("outcome", "error"))


def name_checked_first(difference: Difference) -> bool:
    """The name of a new collection, looked up before it is validated."""
    return difference.what == "commands" and difference.theirs == ["listCollections"] and difference.ours == []


def exists_before_all(difference: Difference) -> bool:
    """Of two mistakes, PyMongo first reports that the name is taken."""
    return (
        difference.what == "outcome"
        and difference.method == "create_collection"
        and failed(difference.theirs, "CollectionInvalid", "OperationFailure")
        and (failed(difference.ours, "CollectionExists") or failed(difference.theirs, "CollectionInvalid"))
        and isinstance(difference.ours, Failed)
    )


def field_order(difference: Difference) -> bool:
    """Two fields that the server refuses: it reports the first one."""
    theirs, ours = difference.their_record, difference.our_record
    if difference.what != "error" or theirs is None or ours is None or not (theirs.commands and ours.commands):
        return False
    same_fields = set(theirs.commands[-1]) == set(ours.commands[-1])
    return same_fields and (says(theirs.outcome, "is an unknown field") or says(ours.outcome, "is an unknown field"))


def drops_by_keys(difference: Difference) -> bool:
    if difference.method != "drop_index":
        return False
    key = dict(arguments(difference)).get(0)
    by_keys = key is not None and not isinstance(key, str)
    return by_keys and (field(difference, r"dropIndexes\.index(\..*)?") or difference.place == "details.errmsg")


def size_as_float(difference: Difference) -> bool:
    """The ``size`` of a capped collection."""
    return field(difference, r"create\.size") and difference.theirs == difference.ours


def build_info(difference: Difference) -> bool:
    """One command under two names."""
    if difference.what != "commands" or "buildinfo" not in difference.theirs:
        return False
    return [name.lower() for name in difference.theirs] == [name.lower() for name in difference.ours]


COLLECTIONS: Sequence[Known] = (
    Known(
        "no-listCollections",
        "`create_collection` asks first whether the collection exists (`listCollections`)",
        "the server says so",
        "one command less, and no race between the two",
        existence_asked,
        example=(call(DATABASE, "create_collection", "fresh"),),
    ),
    Known(
        "name-checked-first",
        "`create_collection` looks up a name (`listCollections`) that no collection can have",
        "it is refused before anything is sent",
        "nothing can be found",
        name_checked_first,
        ends=True,
        example=(call(DATABASE, "create_collection", "a..b"),),
    ),
    Known(
        "collection-exists",
        "a name that is taken raises `CollectionInvalid`",
        "it raises `CollectionExists`: a `CollectionInvalid` that is an `OperationFailure` too",
        "the server's code and reply are kept",
        exists_before_all,
        example=(call(DATABASE, "create_collection", "people"),),
    ),
    Known(
        "size-as-float",
        "`create_collection(size=4096)` sends a float",
        "it sends what was given",
        "it is a whole number",
        size_as_float,
        example=(call(DATABASE, "create_collection", "fresh", check_exists=False, capped=True, size=4096),),
    ),
    Known(
        "drop-by-keys",
        "`drop_index(keys)` drops the index with the name that these keys give by default",
        "it drops the index with these keys, whatever its name",
        "index management specification",
        drops_by_keys,
        example=(call(PEOPLE, "drop_index", [("u", 1)]),),
    ),
    Known(
        "build-info",
        "`server_info` sends `buildinfo`",
        "it sends `buildInfo`",
        "the command's documented name",
        build_info,
        example=(call(CLIENT, "server_info", take=IGNORE),),
    ),
    Known(
        "unknown-field-first",
        "of two unknown fields of a command, the server complains of one",
        "it may complain of the other",
        "the fields of a command have no order",
        field_order,
        example=(call(PEOPLE, "distinct", "n", hint="_id_", nope=1),),
    ),
)
