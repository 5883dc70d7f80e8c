"""What the tests of functions on this machine have in common."""

import pytest

from pxt_assets import ColumnStore
from tests.local.tickets import Tickets


@pytest.fixture
def tickets(store: ColumnStore) -> Tickets:
    return Tickets(store)
