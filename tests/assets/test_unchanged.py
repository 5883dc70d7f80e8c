"""Columns whose rows did not change: that is seen from the contents of their inputs, without a look at each cell."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.api.request import Request
from pxt_assets.compute import compute_partition as run_module
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.functions import embeddings
from pxt_assets.values.digest import simulated_digest
from tests.runs import ask, materialize, rows_asset
from tests.scripted_server import ScriptedServer
from tests.tickets import Tickets, figures, said_of, with_column

MANY = {i: f"row {i}" for i in range(200)}
LAST = 199


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows whose cells were prepared."""
    seen: list[Any] = []
    prepare = Plan.prepare

    def note(plan: Plan, row: Any) -> Any:
        seen.append(row)
        return prepare(plan, row)

    monkeypatch.setattr(Plan, "prepare", note)
    return seen


def data_version(result: dg.ExecuteInProcessResult) -> Any:
    """As Dagster has it of the column."""
    return result.get_asset_materialization_events()[1].materialization.tags[DATA_VERSION_TAG]


@pytest.mark.parametrize(
    "column", [None, lambda t: embeddings(t.body, model="text-embedding-3-small")], ids=["chat", "embeddings"]
)
def test_few_cells_are_prepared(
    column: Callable[[Table], Any] | None, tickets: Tickets, simulated: OpenAIResource, prepared: list[Any]
) -> None:
    """Just so many as show that cells are named as before."""
    first = tickets.run(MANY, column, openai=simulated)
    assert len(prepared) == len(MANY)
    prepared.clear()
    again = tickets.run(MANY, column, openai=simulated)
    assert 0 < len(prepared) < 100
    assert figures(again) == (0, len(MANY), 0)
    assert data_version(again) == data_version(first)
    for same in ("dagster/row_count", "dagster/column_schema", "pxt/preview", "pxt/simulated"):
        assert said_of(again)[same] == said_of(first)[same]


def test_nulls_are_not_reused(tickets: Tickets) -> None:
    """They ask nothing, ever."""
    rows = {**MANY, LAST: None}
    assert figures(tickets.run(rows)) == (len(MANY) - 1, 0, 0)
    assert figures(tickets.run(rows)) == (0, len(MANY) - 1, 0)


@pytest.mark.parametrize(
    ("rows", "asked"),
    [
        ({**MANY, LAST: "new"}, ["new"]),
        ({**MANY, LAST: None}, []),
        ({**MANY, LAST: "row 198", 198: "row 199"}, []),
        ({i + (i == LAST): body for i, body in MANY.items()}, []),
        ({**MANY, 200: "new"}, ["new"]),
        ({i: body for i, body in MANY.items() if i != LAST}, []),
    ],
    ids=["changed", "null", "swapped", "another key", "appended", "removed"],
)
def test_the_last_row_counts(
    rows: dict[int, Any], asked: list[str], tickets: Tickets, server: ScriptedServer
) -> None:
    """Whatever is different in it is seen."""
    tickets.run(MANY)
    server.forget()
    tickets.run(rows)
    assert server.texts == asked
    assert tickets.said == {k: None if v is None else f"re: {v}" for k, v in rows.items()}


@pytest.mark.parametrize(("unit", "zone"), [("us", "UTC"), ("ms", "UTC"), ("us", "CET")])
def test_equal_bytes_of_another_type_are_another_value(
    unit: Any, zone: str, tickets: Tickets, server: ScriptedServer
) -> None:
    """A time is so many microseconds or milliseconds, here or there."""
    numbers = pa.array([1_700_000_000_000] * 2, pa.int64())

    def run(kind: pa.DataType) -> None:
        upstream = rows_asset({"id": [1, 2], "body": numbers.cast(kind)})
        materialize(with_column(upstream, lambda t: ask([t.body])), tickets.store, tickets.openai)

    run(pa.timestamp("us", "UTC"))
    asked = len(server.asked)
    run(pa.timestamp(unit, zone))
    assert (len(server.asked) > asked) is ((unit, zone) != ("us", "UTC"))


def test_another_version_may_name_cells_otherwise(
    tickets: Tickets, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a library has come to send other requests for the same code and rows, they are sent."""
    tickets.run(MANY)
    server.forget()
    monkeypatch.setattr(Request, "digest", property(lambda request: simulated_digest(request.payload)))
    assert figures(tickets.run(MANY)) == (len(MANY), 0, 0)
    assert len(server.asked) == len(MANY)


@pytest.mark.parametrize("by", ["contents", "cell"])
def test_a_rehearsal_of_many_rows_is_not_written_again(
    by: str, tickets: Tickets, simulated: OpenAIResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the name of one of its answers happens to end in a zero."""
    rows = {i: f"row {i}" for i in range(600)}
    tickets.run(rows, openai=simulated)
    before = tickets.path.stat().st_mtime_ns
    assert any(name.endswith(b"\0") for name in tickets.table["_digest"].to_pylist())
    if by == "cell":
        monkeypatch.setattr(run_module, "stored_if_unchanged", lambda _: None)
    assert figures(tickets.run(rows, openai=simulated)) == (0, 600, 0)
    assert tickets.path.stat().st_mtime_ns == before
