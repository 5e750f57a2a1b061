"""The note that is added to an error that leaves a transaction: the transaction's record, shown below the traceback."""

from __future__ import annotations

import contextlib

from wiredrv.errors import DriverError
from wiredrv.session.state import SessionState

#: How many notes of this driver's an error may have: a program may raise the same exception object again and again.
_MOST_NOTES = 3
_BEGINNING = "wiredrv: transaction "
_RECORDED = "\n  recorded: `error.timeline.show()` prints it, and `error.timeline.html(path)` draws it"


def note_transaction(error: BaseException, session: SessionState) -> None:
    """Add the record of a session's transaction to an error that leaves it. Done once for each error.

    The note names commands, servers and times. It holds no message of an error, nor anything else that may repeat the
    values of documents. A cancellation gets none, and neither does an exception that takes no attributes (a frozen
    dataclass, for instance): a note never changes what happens to the transaction.

    :param error: the error that left the transaction's block, or the session's.
    :param session: the session. Its transaction is described while it is active; afterwards the record of the error is.
    """
    if isinstance(error, Exception):
        with contextlib.suppress(Exception):
            _note(error, session)


def _note(error: Exception, session: SessionState) -> None:
    own = error.transaction if isinstance(error, DriverError) else None
    record = session.record() if session.transaction.active else own
    if record is None or not record.commands:
        return
    text = f"wiredrv: {record.summary()}"
    first_line = text.partition("\n")[0]
    notes: list[str] = getattr(error, "__notes__", [])
    ours = [note for note in notes if note.startswith(_BEGINNING)]
    if any(note.partition("\n")[0] == first_line for note in ours):
        return
    if len(ours) >= _MOST_NOTES:
        notes.remove(ours[0])
    if record.timeline is not None:
        text += _RECORDED
        if not hasattr(error, "timeline"):
            vars(error)["timeline"] = record.timeline  # of an error that is not the driver's
    error.add_note(text)
