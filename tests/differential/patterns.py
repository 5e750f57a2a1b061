"""What the rows of the table excuse: functions of a difference. Pure.

Rules kept here:

* A pattern names the kind of difference, the place, and the text of the error: not a method, and not whatever may come
  along with it.
"""

from __future__ import annotations

import re
from typing import Any

from tests.differential.calls import Block, Call, Get, Make
from tests.differential.conditions import (
    REFUSALS,
    accepted,
    arguments,
    failed,
    field,
    refused,
    says,
    sent,
    sent_nothing,
    sent_the_same,
)
from tests.differential.normal import MISSING
from tests.differential.outcomes import Difference, Failed, Returned

#: Where a refusal that speaks of transactions is one of arguments.
_BEFORE_TRANSACTIONS = ("start_transaction", "command", "transaction", "with_transaction")


def other_class_of_refusal(difference: Difference) -> bool:
    """Both refuse, after the same commands if any (the length of ``to_list`` is looked at late)."""
    return (
        difference.what == "outcome"
        and failed(difference.theirs, *REFUSALS)
        and failed(difference.ours, "ConfigurationError", "InvalidName", "InvalidOperation", "InvalidDocument")
        and (not says(difference.ours, "transaction") or difference.method in _BEFORE_TRANSACTIONS)
        and sent_the_same(difference)
    )


def default_left_out(difference: Difference) -> bool:
    places = r"update\.updates\.\*\.(multi|upsert)|findAndModify\.(new|upsert)"
    in_error = difference.what == "error" and re.fullmatch(
        r"details\.writeErrors\.\*\.op\.(multi|upsert)", difference.place
    )
    values = (difference.theirs, difference.ours)
    return bool(field(difference, places) or in_error) and any(value is False for value in values) and MISSING in values


def refused_here(difference: Difference) -> bool:
    """An argument that PyMongo sends, and we refuse: the server would have, or the call means something else."""
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


def keyword_only(difference: Difference) -> bool:
    """An argument that PyMongo takes by position and we take by keyword."""
    return (
        difference.what == "outcome"
        and failed(difference.ours, "TypeError")
        and says(difference.ours, r"takes \d+ (to \d+ )?positional arguments? but \d+")
        and sent_nothing(difference)
    )


#: PyMongo's words for forms of arguments that we take.
_FORMS = "|".join(
    [
        "must be a list",
        "must be an instance of",
        "must use a dictionary",
        "use a dictionary or a list",
        "expected str",
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
    """A form of an argument that PyMongo refuses and we take."""
    return accepted(difference, _FORMS)


def generated_id_first(difference: Difference) -> bool:
    places = r"insert\.documents\.\*\.<order>"
    in_error = difference.what == "error" and difference.place == "details.writeErrors.*.op.<order>"
    if not (field(difference, places) or in_error):
        return False
    theirs, ours = list(difference.theirs), list(difference.ours)
    return theirs[-1] == "_id" and ours == ["_id", *theirs[:-1]]


_DROPPED_WHEN_EMPTY = frozenset({"comment", "let", "maxTimeMS", "projection", "fields", "query", "collation", "hint"})


def empty_option(difference: Difference) -> bool:
    """An option with an empty value, which PyMongo takes for one that was not given."""
    return (
        difference.what in ("field", "closing")
        and difference.theirs is MISSING
        and difference.place.rpartition(".")[2] in _DROPPED_WHEN_EMPTY
        and difference.ours in ("", 0, {}, [], ("<tuple>",))
        and difference.ours is not False
    )


def batch_of_one(difference: Difference) -> bool:
    if difference.what == "commands":
        sent = difference.our_record.commands if difference.our_record else ()
        ones = all(command.get("batchSize") == 1 for command in sent if "getMore" in command)
        others = [[name for name in names if name != "getMore"] for names in (difference.theirs, difference.ours)]
        return ones and others[0] == others[1] and difference.theirs != difference.ours
    return field(difference, r"getMore\.batchSize") and (difference.theirs, difference.ours) == (2, 1)


def single_batch(difference: Difference) -> bool:
    return field(difference, r"find\.batchSize") and sent(difference, "singleBatch") is True


def close_drops(difference: Difference) -> bool:
    step = difference.our_record.step if difference.our_record else None
    if isinstance(step, Get) and step.attribute == "alive":
        return difference.theirs is True and difference.ours is False
    if isinstance(step, Get) and difference.theirs is None:
        return step.attribute == "cursor_id" and difference.ours == 0  # it failed
    if isinstance(step, Get):
        closed = step.attribute == "cursor_id" and difference.what == "result"
        return closed and difference.ours == 0 and isinstance(difference.theirs, str)
    if not (isinstance(step, Call) and step.target.kind == "cursor" and sent_nothing(difference)):
        return False
    if step.method not in ("next", "to_list", "try_next"):
        return isinstance(difference.theirs, Returned) and says(difference.ours, "belongs before the first document")
    if difference.what == "outcome":
        return isinstance(difference.theirs, Returned) and failed(difference.ours, "StopAsyncIteration")
    return difference.what == "result" and difference.ours in ([], None) and bool(difference.theirs)


def existence_asked(difference: Difference) -> bool:
    theirs, ours = difference.theirs, difference.ours
    return difference.what == "commands" and theirs[:1] == ["listCollections"] and ours == ["create"]


def name_checked_first(difference: Difference) -> bool:
    """The name of a new collection, looked up before it is checked."""
    return difference.what == "commands" and difference.theirs == ["listCollections"] and difference.ours == []


def raw_id(difference: Difference) -> bool:
    if difference.what != "result":
        return False
    given = next((value for place, value in arguments(difference) if place == 0), None)
    if isinstance(given, Make) and given.kind == "iter":
        given = given.args[0]
    documents = given if isinstance(given, (list, tuple)) else [given]
    raw = sum(isinstance(document, Make) and document.kind == "Raw" for document in documents)
    if difference.place == "inserted_ids":
        return raw > 0 and len(difference.theirs) == len(difference.ours) - raw
    return raw > 0 and difference.place == "inserted_id" and difference.theirs is None


def exists_before_all(difference: Difference) -> bool:
    """Of two mistakes, PyMongo finds the name that is taken first."""
    return (
        difference.what == "outcome"
        and difference.method == "create_collection"
        and failed(difference.theirs, "CollectionInvalid", "OperationFailure")
        and (failed(difference.ours, "CollectionExists") or failed(difference.theirs, "CollectionInvalid"))
        and isinstance(difference.ours, Failed)
    )


def bypass_name(difference: Difference) -> bool:
    return difference.method.startswith(("aggregate", "find_one_and_")) and "bypass_document_validation" in dict(
        arguments(difference)
    )


def unacknowledged(difference: Difference) -> bool:
    if difference.what != "result":
        return False
    if difference.place == "did_upsert":
        return (difference.theirs, difference.ours) == ("<AssertionError>", "<InvalidOperation>")
    outcome = difference.our_record.outcome if difference.our_record else None
    value = outcome.value if isinstance(outcome, Returned) else {}
    return difference.place.startswith("raw_result") and value.get("acknowledged") is False


def hint_for_bounds(difference: Difference) -> bool:
    return accepted(difference, r"Passing a 'hint' is required when using the min/max")


def number_of_each_batch(difference: Difference) -> bool:
    return field(difference, r"(update|delete|insert)\.txnNumber") and difference.theirs is MISSING


def bare_unacknowledged(difference: Difference) -> bool:
    """An unordered, unacknowledged bulk, of which PyMongo sends the statements alone."""
    record = difference.their_record
    step = record.step if record is not None else None
    unordered = isinstance(step, Call) and dict(step.options).get("ordered") is False
    bare = record is not None and all(command.get("writeConcern") == {"w": 0} for command in record.commands)
    place = field(difference, r"(insert|update|delete)\.(\$clusterTime|comment|let)")
    return place and unordered and bare and difference.method == "bulk_write" and difference.theirs is MISSING


def closed_in_session(difference: Difference) -> bool:
    place = difference.place.rpartition(".")[2]
    if difference.what != "closing":
        return False
    if place == "lsid":
        return difference.theirs is MISSING
    return place in ("readConcern", "startTransaction", "txnNumber", "autocommit") and difference.ours is MISSING


def zero_counts_all(difference: Difference) -> bool:
    given = dict(arguments(difference))
    if 0 not in (given.get("skip"), given.get("limit")):
        return False
    record = difference.their_record
    refused = record is not None and says(record.outcome, "the limit must be positive")
    return field(difference, r"aggregate\.pipeline(\.\*.*)?") or (refused and difference.what in ("outcome", "error"))


def _is_order(sort: Any) -> bool:
    """Whether an order is sent as it is by both: a document that is not empty, or none."""
    return sort is None or isinstance(sort, Make) or (isinstance(sort, dict) and bool(sort))


_FINDS = ("find", "find_one")


def order_as_list(difference: Difference) -> bool:
    """An order that PyMongo sends as the list or the name that was given."""
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


def field_order(difference: Difference) -> bool:
    """Two fields that the server refuses: it complains of the first it meets."""
    theirs, ours = difference.their_record, difference.our_record
    if difference.what != "error" or theirs is None or ours is None or not (theirs.commands and ours.commands):
        return False
    same_fields = set(theirs.commands[-1]) == set(ours.commands[-1])
    return same_fields and (says(theirs.outcome, "is an unknown field") or says(ours.outcome, "is an unknown field"))


def bind_ended(difference: Difference) -> bool:
    step = difference.our_record.step if difference.our_record else None
    if not (isinstance(step, Block) and step.kind == "bind"):
        return False
    never_entered = difference.what == "steps" and len(difference.ours) == 1
    return never_entered or says(difference.ours, "Cannot use ended session")


def command_reads_after(difference: Difference) -> bool:
    return (
        field(difference, r"\w+\.readConcern(\.afterClusterTime)?")
        and difference.method == "command"
        and difference.ours is MISSING
        and sent(difference, "startTransaction") is None
    )


def drops_by_keys(difference: Difference) -> bool:
    if difference.method != "drop_index":
        return False
    key = dict(arguments(difference)).get(0)
    by_keys = key is not None and not isinstance(key, str)
    return by_keys and (field(difference, r"dropIndexes\.index(\..*)?") or difference.place == "details.errmsg")


def hint_of_distinct(difference: Difference) -> bool:
    step = difference.our_record.step if difference.our_record else None
    return (
        isinstance(step, Call)
        and [name for name, _, _ in step.chain][-1:] == ["distinct"]
        and (sent(difference, "hint") is not None)
    )


def given_twice(difference: Difference) -> bool:
    return refused(difference, r"given under two names|is in the command already|cannot be an option|option .* field")


def none_option(difference: Difference) -> bool:
    if difference.what == "field":
        return difference.theirs is None and difference.ours is MISSING
    given = [value for place, value in arguments(difference) if isinstance(place, str)]
    return (
        None in given
        and difference.what == "outcome"
        and failed(difference.theirs, "OperationFailure")
        and not isinstance(difference.ours, Failed)
    )


def let_of_find(difference: Difference) -> bool:
    """What a find cursor that is cloned or explained hands on of its options."""
    step = difference.our_record.step if difference.our_record else None
    if not isinstance(step, Call):
        return False
    chained = {name for name, _, _ in step.chain}
    if "explain" in chained and (field(difference, r"explain\.explain\..*") or "cursor_type" in dict(step.options)):
        return True
    return "let" in dict(step.options) and bool({"clone", "explain"} & chained)


def cursor_of_before(difference: Difference) -> bool:
    """A cursor that was opened before the transaction of its session, or in one that has ended."""
    refused = "opened before the transaction|opened in a transaction that has ended"
    return difference.what == "outcome" and says(difference.ours, refused)


def unacknowledged_concern(difference: Difference) -> bool:
    return (
        field(difference, r"(insert|update|delete)\.writeConcern")
        and difference.theirs is MISSING
        and (difference.ours == {"w": 0})
    )


def await_of_tailable(difference: Difference) -> bool:
    record = difference.their_record
    refused = record is not None and says(record.outcome, "cannot set maxTimeMS on getMore command for a non-awaitData")
    return refused or (field(difference, r"getMore\.maxTimeMS") and difference.ours is MISSING)


def no_cursor(difference: Difference) -> bool:
    """The reply to ``cursor_command`` holds no cursor."""
    there, here = difference.theirs, difference.ours
    return difference.what == "outcome" and says(there, "does not return a cursor") and says(here, "no cursor")


def getmore_concern(difference: Difference) -> bool:
    return field(difference, r"getMore\.readConcern") and difference.ours is MISSING


_NO_SUCH_TRANSACTION = "does not match any in-progress transactions"


def _began_here_alone(difference: Difference) -> bool:
    """Our statement began the transaction; theirs went on with one that the server does not know, and failed so."""
    theirs = difference.their_record
    if theirs is None or not theirs.commands or "startTransaction" in theirs.commands[0]:
        return False
    return says(theirs.outcome, _NO_SUCH_TRANSACTION) and sent(difference, "startTransaction") is True


def nothing_to_abort(difference: Difference) -> bool:
    """A transaction whose first statement never left this side: there is nothing on the server."""
    theirs = difference.their_record
    if _began_here_alone(difference):
        return True
    if difference.what == "steps":
        return theirs is not None and theirs.names == ["abortTransaction"] and sent_nothing(difference)
    if field(difference, r"\w+\.startTransaction"):
        return difference.ours is True and theirs is not None and isinstance(theirs.outcome, Failed)
    if difference.what != "outcome":
        return difference.what == "commands" and difference.theirs == ["abortTransaction"] and difference.ours == []
    if difference.method == "commit_transaction" and says(difference.theirs, "No transaction started"):
        return isinstance(difference.ours, Returned)
    unknown_there = says(difference.theirs, _NO_SUCH_TRANSACTION)
    return unknown_there and sent_nothing(difference) and isinstance(difference.ours, Returned)


def count_takes_no_session(difference: Difference) -> bool:
    """``estimated_document_count`` within ``bind()``."""
    if difference.method != "estimated_document_count" or not field(difference, r"count\.(lsid|readConcern)"):
        return False
    return difference.ours is MISSING or str(difference.theirs).startswith("session")


def size_as_float(difference: Difference) -> bool:
    """The ``size`` of a capped collection."""
    return field(difference, r"create\.size") and difference.theirs == difference.ours


def preference_of_transaction(difference: Difference) -> bool:
    """A command in a transaction that reads from others than the primary."""
    refused = says(difference.ours, "read preference in a transaction must be primary")
    return difference.what == "outcome" and refused and sent_nothing(difference)


def refused_commit(difference: Difference) -> bool:
    """A command that the server refuses, and whose write concern failed too."""
    refused = failed(difference.ours, "OperationFailure", "DuplicateKeyError")
    return (
        difference.what == "outcome"
        and refused
        and sent_the_same(difference)
        and failed(difference.theirs, "WriteConcernError", "WTimeoutError")
    )


def empty_hint(difference: Difference) -> bool:
    """A hint that is an empty text, and that the server refuses."""
    refused = failed(difference.ours, "OperationFailure") and says(difference.ours, "hint provided does not")
    given = dict(arguments(difference))
    return difference.what == "outcome" and refused and "" in (given.get("hint"), given.get(0))


def cursor_of_ended_session(difference: Difference) -> bool:
    """A cursor that is read after its session has ended."""
    step = difference.our_record.step if difference.our_record else None
    on_cursor = isinstance(step, Call) and step.target.kind == "cursor"
    return difference.what == "outcome" and on_cursor and says(difference.ours, "Cannot use ended session")


def refused_unchanged(difference: Difference) -> bool:
    """A generated ``_id`` on a document of a call that we refused."""
    record = difference.our_record
    refused = record is not None and failed(record.outcome, "ConfigurationError", "InvalidOperation")
    added = difference.place.endswith("._id") and difference.ours is MISSING
    return difference.what == "arguments" and added and refused and sent_nothing(difference)


def batch_size_later(difference: Difference) -> bool:
    """``batch_size`` of a cursor that was read already."""
    return difference.method == "batch_size" and accepted(difference, "cannot set options after executing query")


def build_info(difference: Difference) -> bool:
    """One command under two names."""
    if difference.what != "commands" or "buildinfo" not in difference.theirs:
        return False
    return [name.lower() for name in difference.theirs] == [name.lower() for name in difference.ours]


def answered_batches(difference: Difference) -> bool:
    """The batches of an ordered, unacknowledged bulk that are answered all the same."""
    step = difference.our_record.step if difference.our_record else None
    concern = dict(step.target.options).get("write_concern") if isinstance(step, Call) else None
    unacknowledged = isinstance(concern, Make) and dict(concern.options).get("w") == 0
    place = field(difference, r"(insert|update|delete)\.(lsid|txnNumber)")
    return place and unacknowledged and difference.theirs is MISSING
