"""What the tests of assets have in common."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.assets.captions import COLORS
from tests.assets.declared_tickets import tickets
from tests.assets.later_tickets import LaterTickets
from tests.pictures import picture


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of three photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for color in COLORS[:3]:
        (folder / f"{color}.jpg").write_bytes(picture(color, format="JPEG"))
    return folder


@pytest.fixture
def tbl() -> Table:
    """A table whose columns are known."""
    return Table(tickets, key="id")


@pytest.fixture
def unknown() -> Table:
    """A table whose columns are not known while definitions load."""
    return Table("tickets", key="id")


@pytest.fixture
def later(store: ColumnStore, simulated: OpenAIResource) -> Iterator[Callable[..., LaterTickets]]:
    """Makes a table; its runs are kept by an instance of its own."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield partial(LaterTickets, store, simulated, instance=instance)
