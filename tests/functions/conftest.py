"""What the tests of functions have in common."""

from typing import Any

import pytest

from pxt_assets import ColumnStore
from tests.functions.structured_answers import Tickets


@pytest.fixture
def tickets(store: ColumnStore, serve: Any) -> Tickets:
    return Tickets(store, serve)
