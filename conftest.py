"""What the tests in all folders share."""

from tests.support.announce import pytest_collection_finish as pytest_collection_finish
from tests.support.announce import pytest_report_collectionfinish as pytest_report_collectionfinish
from tests.support.announce import pytest_xdist_node_collection_finished as pytest_xdist_node_collection_finished
from tests.support.conformance import pytest_sessionstart as pytest_sessionstart
from tests.support.servers import pytest_collection_modifyitems as pytest_collection_modifyitems
from tests.support.servers import pytest_configure as pytest_configure
from tests.support.servers import pytest_runtest_protocol as pytest_runtest_protocol
from tests.support.servers import starts_servers as starts_servers
from tests.support.skips import pytest_terminal_summary as pytest_terminal_summary
