"""Rows of the table: what calls accept and refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.differential import conditions
from tests.differential.calls import Make
from tests.differential.conditions import (
    OUR_REFUSALS,
    REFUSALS,
    accepted,
    arguments,
    failed,
    field,
    refused,
    says,
    sent_nothing,
    sent_the_same,
)
from tests.differential.normal import MISSING
from tests.differential.outcomes import Difference, Failed
from tests.differential.row import Known
from tests.differential.short import (
    LIST,
    PEOPLE,
    call,
)

#: Methods whose errors mention transactions although an argument is refused.
_BEFORE_TRANSACTIONS = ("start_transaction", "command", "transaction", "with_transaction")


def other_class_of_refusal(difference: Difference) -> bool:
    """Both refuse, after the same commands if any (the length of ``to_list`` is checked late)."""
    return (
        difference.what == "outcome"
        and failed(difference.theirs, *REFUSALS)
        and failed(difference.ours, *OUR_REFUSALS, "InvalidOperation", "InvalidDocument")
        and (not says(difference.ours, "transaction") or difference.method in _BEFORE_TRANSACTIONS)
        and sent_the_same(difference)
    )


def refused_here(difference: Difference) -> bool:
    """An argument that PyMongo sends, and we refuse: the server would refuse it, or the call means something else."""
    return refused(
        difference,
        r"must be a mapping|must be a list|must be a Collation|must be True or False|must be an? \w+|"
        r"must be (a|the) field|must be a field|must be the|must not (be empty|contain|start)|must name at least|"
        r"each (key|request|stage)|must be an? (IndexModel|InsertOne)|must be .* or a|the direction of|must start with|"
        r"must be a (string|name|CodecOptions|ReadConcern|number of milliseconds)|name .* must",
    )


def not_a_whole_number(difference: Difference) -> bool:
    record = difference.our_record
    if difference.what == "steps" and record is not None:
        # A block that was refused, so that none of its calls was made.
        return says(record.outcome, r"^max_commit_time_ms must be")
    return refused(difference, r"must be a (whole number|number of milliseconds)")


def unknown_option(difference: Difference) -> bool:
    return refused(difference, r"^unknown option")


#: PyMongo's messages for forms of arguments that we accept.
_FORMS = "|".join(
    [
        "must be a list",
        "must be an instance of",
        "must use a dictionary",
        "use a dictionary or a list",
        "expected str",
        "must be an integer, not <class 'NoneType'>",
        "unexpected keyword argument",
        "Replacement index",
        "key_or_list must not be empty",
        "batch_size must be >= 0",
        r"must be True or False, was: \w+=None",
        "too many values",
        "not enough values",
        "has no attribute",
    ]
)


def more_forms(difference: Difference) -> bool:
    """A form of an argument that PyMongo refuses and we accept."""
    return accepted(difference, _FORMS)


_DROPPED_WHEN_EMPTY = frozenset({"comment", "let", "maxTimeMS", "projection", "fields", "query", "collation", "hint"})


def empty_option(difference: Difference) -> bool:
    """An option with an empty value, which PyMongo treats as not given."""
    return (
        difference.what in ("field", "closing")
        and difference.theirs is MISSING
        and difference.place.rpartition(".")[2] in _DROPPED_WHEN_EMPTY
        and difference.ours in ("", 0, {}, [])
        and difference.ours is not False
    )


def bypass_name(difference: Difference) -> bool:
    return difference.method.startswith(("aggregate", "find_one_and_")) and "bypass_document_validation" in dict(
        arguments(difference)
    )


def hint_for_bounds(difference: Difference) -> bool:
    return accepted(difference, r"Passing a 'hint' is required when using the min/max")


def zero_counts_all(difference: Difference) -> bool:
    given = dict(arguments(difference))
    if 0 not in (given.get("skip"), given.get("limit")):
        return False
    record = difference.their_record
    refused = record is not None and says(record.outcome, "the limit must be positive")
    return field(difference, r"aggregate\.pipeline(\.\*.*)?") or (refused and difference.what in ("outcome", "error"))


def _is_order(sort: Any) -> bool:
    """Whether both drivers send a sort order unchanged: a non-empty document, or none."""
    return sort is None or isinstance(sort, Make) or (isinstance(sort, dict) and bool(sort))


_FINDS = ("find", "find_one")


def order_as_list(difference: Difference) -> bool:
    """A sort order that PyMongo sends as the list or the name that was given."""
    bounds = dict(arguments(difference))
    if difference.method == "aggregate" and "hint" in bounds and not isinstance(bounds["hint"], (str, dict)):
        return True
    if any(isinstance(bounds.get(name), (list, str)) for name in ("min", "max")) and difference.method in _FINDS:
        return True
    if difference.method.startswith(("update_", "replace_")) and "sort" in bounds and not bounds["sort"]:
        return True
    requests = next((value for place, value in bounds.items() if place == 0), None)
    if difference.method != "bulk_write" or not isinstance(requests, list):
        return False
    return any(isinstance(r, Make) and not _is_order(dict(r.options).get("sort")) for r in requests)


def given_twice(difference: Difference) -> bool:
    return refused(difference, r"given under two names|is in the command already|cannot be an option|option .* field")


def none_option(difference: Difference) -> bool:
    if field(difference, r"aggregate\.pipeline"):
        stages = difference.theirs if isinstance(difference.theirs, list) else []
        return {"$skip": None} in stages or {"$limit": None} in stages
    if difference.what == "field":
        return difference.theirs is None and difference.ours is MISSING
    given = [value for place, value in arguments(difference) if isinstance(place, str)]
    return (
        None in given
        and difference.what == "outcome"
        and failed(difference.theirs, "OperationFailure")
        and not isinstance(difference.ours, Failed)
    )


def empty_hint(difference: Difference) -> bool:
    """A hint that is an empty string, which the server refuses."""
    refused = failed(difference.ours, "OperationFailure") and says(difference.ours, "hint provided does not")
    given = dict(arguments(difference))
    return difference.what == "outcome" and refused and "" in (given.get("hint"), given.get(0))


def refused_unchanged(difference: Difference) -> bool:
    """A generated ``_id`` on a document of a call that we refused."""
    record = difference.our_record
    refused = record is not None and failed(record.outcome, *OUR_REFUSALS, "InvalidOperation")
    added = difference.place.endswith("._id") and difference.ours is MISSING
    return difference.what == "arguments" and added and refused and sent_nothing(difference)


ARGUMENTS: Sequence[Known] = (
    Known(
        "argument-errors",
        "an argument of the wrong kind raises `TypeError`, `ValueError`, `AttributeError`...",
        "it raises `ConfigurationError` (`InvalidName`, `InvalidDocument`), with a sentence",
        "one root class for all errors of the driver, and a message that says what to pass",
        other_class_of_refusal,
        example=(call(PEOPLE, "insert_one", 5),),
    ),
    Known(
        "whole-numbers",
        "floats and negative numbers are taken for counts and times in some places",
        "whole numbers from 0 up (`limit` may be negative)",
        "the server would round them, or refuse them later",
        not_a_whole_number,
        ends=True,
        example=(call(PEOPLE, "aggregate", [], take=LIST, maxTimeMS=10_000.0),),
    ),
    Known(
        "unknown-options",
        "an option that a method does not have is sent in some methods (`**kwargs`), and is a `TypeError` in others",
        "an error that names the options there are, where the driver knows them all",
        "a misspelt `sesion=` must not leave a transaction",
        unknown_option,
        ends=True,
        example=(call(PEOPLE, "find_one_and_delete", {}, sesion=1),),
    ),
    Known(
        "more-forms",
        "some methods take an order or keys as a list of pairs only, some a pipeline as a list only...",
        "each takes all forms: a name, a list of names or pairs, a mapping; a list or a tuple",
        "one meaning of an argument for all methods",
        more_forms,
        ends=True,
        example=(call(PEOPLE, "aggregate", ({"$limit": 1},), take=LIST),),
    ),
    Known(
        "none-options",
        "an option of None is sent as null by some methods, and the server may refuse it",
        "it is left out",
        "None means not given",
        none_option,
        example=(call(PEOPLE, "aggregate", [], take=LIST, allowDiskUse=None),),
    ),
    Known(
        "empty-options",
        "an empty `comment`, `let`, `collation`, `hint` or `projection` and a `maxTimeMS` of 0 are left out of some "
        "commands",
        "what was given is sent",
        "only None means not given",
        empty_option,
        example=(call(PEOPLE, "find", take=LIST, comment=""),),
    ),
    Known(
        "empty-hint",
        "an empty `hint` of a find is left out",
        "it is sent, and the server refuses it",
        "only None means not given",
        empty_hint,
        ends=True,
        example=(call(PEOPLE, "find_one", {}, hint=""),),
    ),
    Known(
        "falsy-filter",
        'a filter of `0`, `False`, `""` or `[]` means none in `find`',
        "it is refused",
        "only None means not given",
        lambda d: d.method in ("find", "find_one") and conditions.refused(d, r"^filter must be a mapping"),
        ends=True,
        example=(call(PEOPLE, "find", "", take=LIST),),
    ),
    Known(
        "zero-counts-all",
        "`count_documents(limit=0)` is an error of the server's; `skip=0` is sent",
        "0 means no limit, as in `find`",
        "one meaning of 0",
        zero_counts_all,
        ends=True,
        example=(call(PEOPLE, "count_documents", {}, limit=0),),
    ),
    Known(
        "given-twice",
        "an option with the name of a field that the call makes anyway replaces it",
        "it is refused",
        '`distinct("n", distinct="other")` must not read another collection',
        given_twice,
        ends=True,
        example=(call(PEOPLE, "distinct", "n", distinct="many"),),
    ),
    Known(
        "bypass-name",
        "`aggregate` and `find_one_and_...` know `bypassDocumentValidation` only",
        "they know `bypass_document_validation` too",
        "the other methods call it so",
        bypass_name,
        ends=True,
        example=(call(PEOPLE, "aggregate", [], take=LIST, bypass_document_validation=True),),
    ),
    Known(
        "order-as-list",
        "the `sort` of a bulk request, `min` and `max` of a find, and the `hint` of an aggregate are sent as given",
        "they are sent as documents, whatever their form",
        "the server takes documents alone",
        order_as_list,
        ends=True,
        example=(call(PEOPLE, "aggregate", [], take=LIST, hint=[("u", 1)]),),
    ),
    Known(
        "bounds-need-hint",
        "`min` and `max` without a hint are refused",
        "the server refuses them",
        "the condition is the server's",
        hint_for_bounds,
        ends=True,
        example=(call(PEOPLE, "find", take=LIST, min={"u": 2}),),
    ),
    Known(
        "drop-index-star",
        '`drop_index("*")` drops all indexes',
        "it is refused: `drop_indexes()` drops them all",
        "a method that drops one index must not drop all by mistake",
        lambda d: conditions.refused(d, r"^drop_index drops one index"),
        ends=True,
        example=(call(PEOPLE, "drop_index", "*"),),
    ),
    Known(
        "refused-unchanged",
        "a call that is refused may leave a generated `_id` in its documents",
        "it leaves them as they are",
        "nothing was done",
        refused_unchanged,
        example=(call(PEOPLE, "insert_one", {"x": 2**64}, bypass_document_validation=5),),
    ),
    # The last, because it matches a lot.
    Known(
        "arguments-refused-here",
        "some arguments of the wrong kind are sent, and the server refuses them, or reads them in a way of its own",
        "they are refused before anything is sent",
        "the error comes where the mistake is, and is the same for each server version",
        refused_here,
        ends=True,
        example=(call(PEOPLE, "count_documents", 5),),
    ),
)
