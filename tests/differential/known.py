"""The table of known differences between wiredrv and PyMongo Async: each with its reason, and what exactly it excuses.

``docs/coming-from-pymongo.md`` is generated from it. The lab fails on a difference that no row excuses, and on a row
whose example does not show its difference. Rows for what the lab cannot see name the test that shows it.

A row is a deliberate choice with a reason. A defect gets fixed instead of a row.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.differential.row import Known
from tests.differential.rows.arguments import ARGUMENTS
from tests.differential.rows.beyond import BEYOND_CALLS
from tests.differential.rows.collections import COLLECTIONS
from tests.differential.rows.cursors import CURSORS
from tests.differential.rows.files import FILES
from tests.differential.rows.sessions import SESSIONS
from tests.differential.rows.writes import WRITES

#: What calls show; the lab sees each of them. The first row that matches a difference excuses it.
OF_CALLS: Sequence[Known] = (*FILES, *ARGUMENTS, *WRITES, *COLLECTIONS, *CURSORS, *SESSIONS)

KNOWN: Sequence[Known] = (*BEYOND_CALLS, *OF_CALLS)
