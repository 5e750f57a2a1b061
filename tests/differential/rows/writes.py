"""Rows of the table: writes, their results, and what is sent for them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.differential.calls import Call, Make
from tests.differential.conditions import (
    arguments,
    failed,
    field,
    says,
    sent_the_same,
    they_sent_nothing,
)
from tests.differential.normal import MISSING
from tests.differential.outcomes import Difference, Returned
from tests.differential.row import Known
from tests.differential.short import (
    IMPATIENT,
    PEOPLE,
    UNANSWERED,
    call,
    request,
)


def default_left_out(difference: Difference) -> bool:
    places = r"update\.updates\.\*\.(multi|upsert)|findAndModify\.(new|upsert)"
    in_error = difference.what == "error" and re.fullmatch(
        r"details\.writeErrors\.\*\.op\.(multi|upsert)", difference.place
    )
    values = (difference.theirs, difference.ours)
    return bool(field(difference, places) or in_error) and any(value is False for value in values) and MISSING in values


def id_first(difference: Difference) -> bool:
    if not field(difference, r"insert\.documents\.\*\.<order>"):
        return False
    theirs, ours = list(difference.theirs), list(difference.ours)
    return "_id" in theirs and ours == ["_id", *(name for name in theirs if name != "_id")]


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


def unacknowledged(difference: Difference) -> bool:
    if difference.what != "result":
        return False
    if difference.place == "did_upsert":
        return (difference.theirs, difference.ours) == ("<AssertionError>", "<InvalidOperation>")
    outcome = difference.our_record.outcome if difference.our_record else None
    if difference.method in ("drop_collection", "rename") and isinstance(outcome, Returned) and outcome.value == {}:
        return (difference.place, difference.theirs) == ("ok", 1)
    value = outcome.value if isinstance(outcome, Returned) else {}
    return difference.place.startswith("raw_result") and value.get("acknowledged") is False


def unacknowledged_options(difference: Difference) -> bool:
    refused = "unsupported for unacknowledged writes|with unacknowledged write concern"
    return difference.what == "outcome" and they_sent_nothing(difference) and says(difference.theirs, refused)


def number_of_each_batch(difference: Difference) -> bool:
    return field(difference, r"(update|delete|insert)\.txnNumber") and difference.theirs is MISSING


def bare_unacknowledged(difference: Difference) -> bool:
    """An unordered, unacknowledged bulk, for which PyMongo sends only the statements."""
    record = difference.their_record
    if record is None or difference.method not in ("bulk_write", "insert_many"):
        return False
    bare = all(each.get("writeConcern") == {"w": 0} and each["ordered"] is False for each in record.commands)
    place = field(difference, r"(insert|update|delete)\.(\$clusterTime|comment|let|bypassDocumentValidation)")
    return place and bare and difference.theirs is MISSING


def last_batch_unanswered(difference: Difference) -> bool:
    return (
        field(difference, r"(insert|update|delete)\.writeConcern")
        and difference.theirs is MISSING
        and (difference.ours == {"w": 0})
    )


def refused_commit(difference: Difference) -> bool:
    """A command that the server refuses, and whose write concern failed too."""
    refused = failed(difference.ours, "OperationFailure", "DuplicateKeyError")
    return (
        difference.what == "outcome"
        and refused
        and sent_the_same(difference)
        and failed(difference.theirs, "WriteConcernError", "WTimeoutError")
    )


def answered_batches(difference: Difference) -> bool:
    """The batches of an ordered, unacknowledged bulk that are acknowledged nevertheless."""
    step = difference.our_record.step if difference.our_record else None
    concern = dict(step.target.options).get("write_concern") if isinstance(step, Call) else None
    unacknowledged = isinstance(concern, Make) and dict(concern.options).get("w") == 0
    place = field(difference, r"(insert|update|delete)\.(lsid|txnNumber)")
    return place and unacknowledged and difference.theirs is MISSING


def upserted_null(difference: Difference) -> bool:
    """An upsert that inserted a document whose ``_id`` is null."""
    outcome = difference.our_record.outcome if difference.our_record else None
    value = outcome.value if isinstance(outcome, Returned) and isinstance(outcome.value, dict) else {}
    inserted = value.get("did_upsert") is True and value.get("upserted_id", MISSING) is None
    counted = (difference.theirs, difference.ours) == (1, 0)
    return difference.what == "result" and difference.place == "matched_count" and inserted and counted


WRITES: Sequence[Known] = (
    Known(
        "server-defaults",
        "`upsert: false`, `multi: false` and `new: false` are sent in some commands",
        "they are sent in others, or left out",
        "they are the server's own defaults",
        default_left_out,
        example=(call(PEOPLE, "update_one", {"_id": 0}, {"$set": {"n": 1}}),),
    ),
    Known(
        "id-first",
        "command events show an `_id` where it was given, and a generated one as the last field of its document",
        "they show it as the first, as it is sent and stored",
        "events show what was sent",
        id_first,
        example=(call(PEOPLE, "insert_one", {"n": 1}),),
    ),
    Known(
        "raw-inserted-id",
        "`inserted_id` is None for a RawBSONDocument, whatever `_id` it holds, and `inserted_ids` leaves it out",
        "it is the `_id` that the document holds",
        "the result says what was inserted",
        raw_id,
        example=(call(PEOPLE, "insert_one", Make("Raw", ({"_id": 50},))),),
    ),
    Known(
        "upserted-null",
        "`matched_count` is 1 for an upsert that inserted a document with an `_id` of null",
        "it is 0",
        "nothing matched",
        upserted_null,
        example=(call(PEOPLE, "update_one", {"_id": None, "s": None}, {"$set": {"n": ""}}, upsert=True),),
    ),
    Known(
        "batches-retried",
        "a bulk write with one `UpdateMany` or `DeleteMany` is not retried at all",
        "only the batch that holds it is not",
        "retryable writes specification: each batch is a command",
        number_of_each_batch,
        example=(call(PEOPLE, "bulk_write", [request("InsertOne", {"_id": 50}), request("DeleteMany", {"_id": 1})]),),
    ),
    Known(
        "unacknowledged-results",
        "of a write with `w=0`, the reply is None or made up, and `did_upsert` fails with an `AssertionError`",
        "the reply is empty, and counts raise `InvalidOperation`",
        "nothing is known of such a write",
        unacknowledged,
        example=(call(UNANSWERED, "update_one", {"_id": 0}, {"$set": {"n": 1}}),),
    ),
    Known(
        "unacknowledged-options",
        "array filters, collations and `bypass_document_validation` are refused for unacknowledged writes",
        "they are sent",
        "every supported server knows them",
        unacknowledged_options,
        ends=True,
        example=(call(UNANSWERED, "delete_one", {"_id": 0}, collation={"locale": "en"}),),
    ),
    Known(
        "last-batch-unanswered",
        "an ordered bulk with `w=0` has its last batch answered too, if it holds more than one statement",
        "its last batch is sent with `w: 0`",
        "nothing follows that would depend on the answer",
        last_batch_unanswered,
        example=(
            call(UNANSWERED, "bulk_write", [request("InsertOne", {"_id": 50}), request("InsertOne", {"_id": 51})]),
        ),
    ),
    Known(
        "bare-unacknowledged",
        "an unordered bulk write with `w=0` leaves out `$clusterTime`, `comment`, `let` and "
        "`bypass_document_validation`",
        "they are sent",
        "sessions specification: each command tells the cluster time; what was given is sent",
        bare_unacknowledged,
        example=(call(UNANSWERED, "bulk_write", [request("InsertOne", {"_id": 50})], ordered=False),),
    ),
    Known(
        "answered-batches",
        "an ordered bulk with `w=0` has its batches but the last answered, without a session",
        "it has them answered too, in an implicit session, with retries",
        "what is answered can be retried",
        answered_batches,
        example=(
            call(UNANSWERED, "bulk_write", [request("InsertOne", {"_id": 50}), request("DeleteOne", {"_id": 0})]),
        ),
    ),
    Known(
        "refusal-and-concern",
        "a command that the server refuses raises the write concern error of the same reply",
        "it raises the refusal",
        "the write concern of what was not done says nothing",
        refused_commit,
        example=(call(IMPATIENT, "drop_index", "no such"),),
    ),
)
