"""Whatever cells are made of, a change of it is seen though all rows are the same: one test for each kind of input."""

import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table, tools, udf
from pxt_assets.compute.partition.input_digest import BOUND_TO, INPUT_DIGEST
from pxt_assets.functions import invoke_tools
from pxt_assets.types import Image
from tests.pictures import picture
from tests.runs import ask, materialize, rows_asset
from tests.scripted_server import ScriptedServer
from tests.tickets import Tickets, figures, with_column

ROWS = {**dict.fromkeys(range(100)), 100: "the last"}
"""The first hundred rows ask nothing, so that a sample of them tells nothing."""
LIMIT: Any = 1


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def length(k: Any, **options: Any) -> Callable[[Table], Any]:
    @udf(**options)
    def f(text: str) -> int:
        return len(text) * len(repr(k))

    return lambda t: f(t.body)


@udf
def limited(text: str) -> int:
    return len(text) * LIMIT


def reading_a_global() -> Callable[[Table], Any]:
    again = udf(limited.function)
    return lambda t: again(t.body)


def score(k: Any) -> Callable[..., Any]:
    def find(text: str) -> str:
        return f"{text}{k}"

    return find


def finding(k: Any) -> Callable[[Table], Any]:
    answer = {
        "choices": [
            {"message": {"tool_calls": [{"function": {"name": "find", "arguments": '{"text": "a"}'}}]}}
        ]
    }

    @udf
    def asked(text: str) -> dict:  # type: ignore[type-arg]
        return answer

    return lambda t: invoke_tools(tools(score(k)), asked(t.body))


def dated(value: Any) -> Callable[[Table], Any]:
    @udf
    def f(text: str, when: Any) -> str:
        return f"{text} {type(when).__name__}"

    return lambda t: f(t.body, when=value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (length({1}), length({2})),
        (length(re.compile("a")), length(re.compile("b"))),
        (length(1, version="1"), length(1, version="2")),
        (finding({1}), finding({2})),
        (dated(datetime.date(2026, 1, 1)), dated("2026-01-01")),
        (lambda t: ask([t.body, "a"]), lambda t: ask([t.body, "b"])),
    ],
    ids=["closure", "pattern", "version", "tools", "type of a constant", "constant"],
)
def test_what_a_plan_is_made_of(one: Any, other: Any, tickets: Tickets) -> None:
    """Functions, tools, constants: the rows that ask something are computed anew, and no others."""
    tickets.run(ROWS, one)
    assert figures(tickets.run(ROWS, one))[:2] == (0, 1)
    assert figures(tickets.run(ROWS, other))[0] == 1


def test_a_global_that_a_function_reads(tickets: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant of its module's."""
    tickets.run(ROWS, reading_a_global())
    assert figures(tickets.run(ROWS, reading_a_global()))[0] == 0
    monkeypatch.setitem(limited.function.__globals__, "LIMIT", 2)
    assert figures(tickets.run(ROWS, reading_a_global()))[0] == 1


def test_the_environment_where_a_definition_reads_it(
    tickets: Tickets, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a constant of the expression by then."""
    for model in ("m-1", "m-2"):
        monkeypatch.setenv("MODEL", model)
        name = dg.EnvVar("MODEL").get_value()
        assert figures(tickets.run(ROWS, lambda t, name=name: ask(t.body, model=name)))[0] == 1
    assert [asked.body["model"] for asked in server.asked] == ["m-1", "m-2"]


def test_a_file_that_rows_name(store: ColumnStore, openai: OpenAIResource, tmp_path: Path) -> None:
    """Its path is the same, its bytes are others."""
    path = tmp_path / "one.png"

    def run() -> Any:
        upstream = rows_asset({"id": [1], "body": [str(path)]})
        table = Table(upstream, key="id", schema={"body": Image})
        part = {"type": "image_url", "image_url": table.body}
        table.add_computed_column(c=ask([part]))
        return materialize([upstream, *table.assets], store, openai)

    path.write_bytes(picture("red", format="PNG"))
    run()
    assert figures(run()) == (0, 1, 0)
    path.write_bytes(picture("blue", format="PNG"))
    assert figures(run()) == (1, 0, 0)


def test_a_file_that_a_constant_names(tickets: Tickets, tmp_path: Path) -> None:
    """The same logo for all rows, drawn anew."""
    path = tmp_path / "logo.png"
    column = lambda t: ask(  # noqa: E731
        [{"type": "text", "text": t.body}, {"type": "image_url", "image_url": PurePath(path)}]
    )
    path.write_bytes(picture("red", format="PNG"))
    first = figures(tickets.run(ROWS, column))
    assert figures(tickets.run(ROWS, column))[0] == 0
    path.write_bytes(picture("blue", format="PNG"))
    assert figures(tickets.run(ROWS, column)) == first


@pytest.mark.parametrize("names", [("M", "D"), ("D", "M")])
def test_the_parameters_of_a_type_that_its_text_does_not_show(
    names: tuple[str, str], tickets: Tickets
) -> None:
    """Periods of months and of days are numbers of one type's name."""
    said = []
    for freq in names:
        periods = pd.arrays.PeriodArray(pd.array([600], "int64").to_numpy(), dtype=pd.PeriodDtype(freq))
        upstream = rows_asset({"id": [1], "body": pa.array(periods)})
        materialize(with_column(upstream, lambda t: ask([t.body])), tickets.store, tickets.openai)
        said.append(json.loads(tickets.table["c"][0].as_py())["choices"][0]["message"]["content"])
    assert said[0] != said[1]


@pytest.mark.parametrize("what", ["simulated", "real"])
def test_rows_of_a_simulator(what: str, tickets: Tickets, simulated: OpenAIResource) -> None:
    """Made of the same values by another: the column is marked as its rows are."""

    def run(openai: OpenAIResource) -> bool:
        upstream = rows_asset({"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        table.add_computed_column(asked=ask(table.body))
        table.add_computed_column(c=length(1)(Shown(table)))
        result = materialize([upstream, *table.assets], tickets.store, openai)
        return bool(figures(result)) and bool(
            tickets.store.file(dg.AssetKey(["tickets", "c"])).metadata["simulated"]
        )

    class Shown:
        def __init__(self, table: Table) -> None:
            self.body = table.asked.choices[0].message.role  # the same text from either

    orders = [(simulated, True), (tickets.openai, False)]
    for openai, expected in orders if what == "simulated" else orders[::-1][:1]:
        assert run(openai) is expected
        assert run(openai) is expected


def test_a_sample_without_cells_decides_nothing(tickets: Tickets) -> None:
    """A column of nulls is looked at row by row, which costs nothing."""
    rows = dict.fromkeys(range(100))
    tickets.run(rows)
    assert figures(tickets.run(rows)) == (0, 0, 0)


def forget(path: Path, *names: str) -> None:
    """Makes a file one of an earlier version, whose metadata lacks these names."""
    metadata = {k: v for k, v in pq.read_metadata(path).metadata.items() if not k.decode().endswith(names)}
    with pq.ParquetFile(path) as source:
        rows = source.read()
    pq.write_table(rows.replace_schema_metadata(metadata), path)


def test_a_file_of_an_earlier_version_is_reused_cell_by_cell_once(
    tickets: Tickets, server: ScriptedServer
) -> None:
    """Then it says what it is bound to as well, and the next run sees at once that nothing changed."""
    tickets.run(ROWS)
    server.forget()
    forget(tickets.path, BOUND_TO)
    assert BOUND_TO not in tickets.store.file(dg.AssetKey(["tickets", "c"])).metadata
    assert figures(tickets.run(ROWS))[:2] == (0, 1)
    metadata = tickets.store.file(dg.AssetKey(["tickets", "c"])).metadata
    assert {BOUND_TO, INPUT_DIGEST} <= metadata.keys()
    assert not server.asked
