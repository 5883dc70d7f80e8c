"""What an asset gets that reads a stored column, by the type of its parameter."""

import json
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pxt_assets import ColumnStore, Table
from pxt_assets.functions import embeddings
from pxt_assets.values.types import Json
from tests.runs import ask, materialize, message, rows_asset, values
from tests.scripted_server import ScriptedServer, chat, resource_of, vectors


@pytest.fixture
def two_columns(serve: Any, store: ColumnStore) -> list[Any]:
    """The assets of a table of two rows with a Json column `said` and a vector column `embed`, materialized."""
    server: ScriptedServer = serve(lambda asked: vectors(asked) if "input" in asked.body else chat(asked))
    upstream = rows_asset({"id": [1, 2, 3], "body": ["one", None, "three"]})
    table = Table(upstream, key="id")
    table.add_computed_column(said=ask(table.body))
    table.add_computed_column(embed=embeddings(table.body, model="text-embedding-3-small"))
    assets = [upstream, *table.assets]
    materialize(assets, store, resource_of(server))
    return assets


def _annotated(wanted: Any) -> dg.AssetsDefinition:
    """An asset that reads `tickets/said` as what it should not get."""

    @dg.asset(name="downstream", ins={"rows": dg.AssetIn(["tickets", "said"], input_manager_key="columns")})
    def downstream(rows: wanted) -> None:  # type: ignore[valid-type]
        raise AssertionError(rows)

    return downstream


def loaded(wanted: Any, column: str, assets: list[Any], store: ColumnStore) -> Any:
    """What a downstream asset gets whose parameter is annotated with `wanted`, or not at all."""
    seen = []
    if wanted is None:

        @dg.asset(
            name="downstream", ins={"rows": dg.AssetIn(["tickets", column], input_manager_key="columns")}
        )
        def downstream(rows) -> None:  # type: ignore[no-untyped-def]
            seen.append(rows)

    else:

        @dg.asset(
            name="downstream", ins={"rows": dg.AssetIn(["tickets", column], input_manager_key="columns")}
        )
        def downstream(rows: wanted) -> None:  # type: ignore[valid-type]
            seen.append(rows.to_table() if isinstance(rows, ds.Dataset) else rows)

    materialize([*assets, downstream], store, only=["downstream"])
    return seen[0]


@pytest.mark.parametrize("wanted", [None, pa.Table, Any], ids=["nothing", "Table", "Any"])
def test_a_column_loads_as_a_table(wanted: Any, two_columns: list[Any], store: ColumnStore) -> None:
    """A parameter without an annotation, or annotated pa.Table, gets the rows as they are stored."""
    table = loaded(wanted, "said", two_columns, store)
    assert table.column_names == ["id", "said", "said_errortype", "said_errormsg", "_digest"]
    assert table["id"].to_pylist() == [1, 2, 3]
    assert table.schema.field("said").type == Json.arrow()


def test_json_in_pandas(two_columns: list[Any], store: ColumnStore) -> None:
    """In a DataFrame, Json cells are Python objects and nulls None."""
    frame = loaded(pd.DataFrame, "said", two_columns, store)
    assert frame["said"][0]["choices"][0]["message"]["content"] == "re: one"
    assert frame["said"][1] is None
    assert list(frame.columns) == ["id", "said", "said_errortype", "said_errormsg", "_digest"]


def test_vectors_in_pandas(two_columns: list[Any], store: ColumnStore) -> None:
    """In a DataFrame, vectors are numpy arrays of float32."""
    frame = loaded(pd.DataFrame, "embed", two_columns, store)
    assert frame["embed"][0].dtype == np.float32
    assert frame["embed"][0].tolist() == [3.0, 1.0, 2.0]
    assert frame["embed"][1] is None


def test_a_dataset_is_lazy(two_columns: list[Any], store: ColumnStore) -> None:
    """Annotated pyarrow.dataset.Dataset, the files are opened and left to be scanned."""
    table = loaded(ds.Dataset, "embed", two_columns, store)
    assert table["id"].to_pylist() == [1, 2, 3]
    assert table.schema.field("embed").type == pa.list_(pa.float32(), 3)


@pytest.mark.parametrize("wanted", [list, list[dict[str, Any]]], ids=["list", "list[dict]"])
def test_a_list_of_dicts(wanted: Any, two_columns: list[Any], store: ColumnStore) -> None:
    """Annotated list, the rows are dicts with Json as Python objects."""
    rows = loaded(wanted, "said", two_columns, store)
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert rows[2]["said"]["choices"][0]["message"]["content"] == "re: three"
    assert rows[1]["said"] is None


VECTORS = {"some": [[2.0, 1.0, 2.0], [1.0, 1.0, 2.0]], "none": [None, None], "one": [[3.0, 1.0, 2.0]]}


@pytest.fixture(params=[["some", "none", "one"], ["none", "some", "one"]], ids=["within", "first"])
def partitions(request: Any) -> list[str]:
    """Partitions of a vector column, of which `none` holds nulls alone."""
    return list(request.param)


@pytest.fixture
def with_nulls(serve: Any, store: ColumnStore, partitions: list[str]) -> list[Any]:
    """A vector column with those partitions, materialized."""
    server: ScriptedServer = serve(vectors)
    texts = {"some": ["bb", "b"], "none": [None, None], "one": ["ccc"]}
    partitions_def = dg.StaticPartitionsDefinition(partitions)

    @dg.multi_asset(
        specs=[dg.AssetSpec("tickets", partitions_def=partitions_def).with_io_manager_key("columns")],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def tickets(context: dg.AssetExecutionContext) -> Any:
        tables = {k: pa.table({"body": pa.array(texts[k], pa.string())}) for k in context.partition_keys}
        return dg.MaterializeResult(value=tables)

    table = Table(tickets)
    table.add_computed_column(embed=embeddings(table.body, model="text-embedding-3-small"))
    assets = [tickets, *table.assets]
    materialize(assets, store, resource_of(server), span=(partitions[0], partitions[-1]))
    return assets


@pytest.mark.parametrize("wanted", [pa.Table, pd.DataFrame, ds.Dataset, list], ids=lambda t: t.__name__)
def test_a_partition_of_nulls_among_vectors(
    wanted: Any, with_nulls: list[Any], partitions: list[str], store: ColumnStore
) -> None:
    """Partitions load as one table in partition order, though one holds nothing but nulls."""
    rows = loaded(wanted, "embed", with_nulls, store)
    cells = rows["embed"].to_pylist() if isinstance(rows, pa.Table) else rows
    if isinstance(rows, pd.DataFrame):
        cells = [None if cell is None else cell.tolist() for cell in rows["embed"]]
    if isinstance(rows, list):
        cells = [row["embed"] for row in rows]
    assert cells == [cell for key in partitions for cell in VECTORS[key]]


def test_a_column_over_partitions_of_nulls_among_vectors(
    with_nulls: list[Any], partitions: list[str], store: ColumnStore
) -> None:
    """A computed column over several partitions of vectors reads them though one holds nulls alone."""
    table = Table("tickets/embed")
    table.add_computed_column(copy={"vector": table.embed}, partition_mapping=dg.AllPartitionMapping())
    materialize([*with_nulls, *table.assets], store, only=["tickets/embed/copy"])
    copies = [json.loads(text)["vector"] for text in values(store, "tickets/embed/copy")]
    assert copies == [cell for key in partitions for cell in VECTORS[key]]


def test_another_class_named_dataset(two_columns: list[Any], store: ColumnStore) -> None:
    """Only pyarrow's own Dataset asks for one: other libraries have classes of that name."""

    class Dataset:
        pass

    said = message(materialize([*two_columns, _annotated(Dataset)], store, only=["downstream"], fails=True))
    assert "pyarrow.Table" in said
