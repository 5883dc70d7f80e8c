"""Tables of which the assets are loaded with other keys than they were declared with."""

from types import ModuleType
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, EmbeddingIndexes, Table, udf
from pxt_assets.assets.cleaning.code_locations import CodeLocations
from pxt_assets.assets.cleaning.leftovers import find_leftovers
from pxt_assets.errors import SearchError
from pxt_assets.functions import embeddings
from tests.runs import QUIET, rows_asset, values

BODIES = {"id": [1, 2], "body": ["late parcel", "broken thing"]}


@udf
def upper(text: str) -> str:
    return text.upper()


def loaded(prefix: str, **held: Any) -> list[Any]:
    """The assets of a module with a prefix."""
    module: Any = ModuleType("team_assets")
    vars(module).update(held)
    return [*dg.load_assets_from_modules([module], key_prefix=prefix)]


def run(assets: list[Any], **resources: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(assets, resources=resources, run_config=QUIET)


def test_chained_columns_lie_under_their_new_keys(store: ColumnStore) -> None:
    """A column reads the column that has the same prefix, not the one that was declared."""
    tickets = rows_asset(BODIES)
    tbl = Table(tickets, key="id")
    tbl.add_computed_column(loud=upper(tbl.body))
    tbl.add_computed_column(again=upper(tbl.loud))
    result = run(loaded("team", tickets=tickets, tbl=tbl), columns=store)
    assert result.success
    assert values(store, "team/tickets/again") == ["LATE PARCEL", "BROKEN THING"]
    assert not store.file(dg.AssetKey(["tickets", "loud"])).exists()


def test_lineage_and_check_results_have_the_new_keys(store: ColumnStore) -> None:
    """What is recorded is of the assets that the UI shows."""
    tickets = rows_asset(BODIES)
    tbl = Table(tickets, key="id")
    tbl.add_computed_column(loud=upper(tbl.body))
    result = run(loaded("team", tickets=tickets, tbl=tbl), columns=store)
    (event,) = [one for one in result.get_asset_materialization_events() if one.asset_key.path[-1] == "loud"]
    lineage: Any = event.materialization.metadata["dagster/column_lineage"].value
    assert lineage.deps_by_column["loud"] == [dg.TableColumnDep(dg.AssetKey(["team", "tickets"]), "body")]
    checked = {one.asset_key for one in result.get_asset_check_evaluations()}
    assert checked == {dg.AssetKey(["team", "tickets", "loud"])}


def test_two_teams_and_the_declared_assets_are_three_of_each(store: ColumnStore) -> None:
    """One module may be loaded several times into one code location."""
    tickets = rows_asset(BODIES)
    tbl = Table(tickets, key="id")
    tbl.add_computed_column(loud=upper(tbl.body))
    held = {"tickets": tickets, "tbl": tbl}
    defs = dg.Definitions(
        assets=[*loaded("a", **held), *loaded("b", **held), tickets, *tbl], resources={"columns": store}
    )
    job = defs.resolve_implicit_global_asset_job_def()
    assert len(job.execute_in_process(run_config=QUIET).get_asset_materialization_events()) == 6


def test_a_table_of_files_is_read_under_its_new_key(store: ColumnStore, tmp_path: Any) -> None:
    """Its source asset records and stores the rows by the key that it has in the run."""
    (tmp_path / "tickets.csv").write_text("id,body\n1,late\n")
    tbl = Table.from_files("tickets", str(tmp_path / "tickets.csv"), key="id")
    tbl.add_computed_column(loud=upper(tbl.body))
    assert run(loaded("team", tbl=tbl), columns=store).success
    assert values(store, "team/tickets/loud") == ["LATE"]


def test_the_files_of_loaded_assets_are_no_leftovers(store: ColumnStore) -> None:
    """`pxt-assets gc` knows assets by the keys that the definitions have, and removes what lies under none of them."""
    tickets = rows_asset(BODIES)
    tbl = Table(tickets, key="id")
    tbl.add_computed_column(loud=upper(tbl.body))
    assets = loaded("team", tickets=tickets, tbl=tbl)
    run(assets, columns=store)
    keys = frozenset(one.key for one in assets)
    assert [*find_leftovers(store, CodeLocations(keys, keys, (store,)))] == []
    without = keys - {dg.AssetKey(["team", "tickets", "loud"])}
    gone = find_leftovers(store, CodeLocations(without, without, (store,)))
    assert {one.path.name for one in gone} >= {"loud.parquet"}


class TestIndexes:
    @pytest.fixture
    def indexes(self, tmp_path: Any, simulated: Any) -> EmbeddingIndexes:
        return EmbeddingIndexes(base_path=str(tmp_path / "indexes"), openai=simulated)

    @pytest.fixture
    def held(self) -> dict[str, Any]:
        """A table with an index, and one that searches it."""
        tickets = rows_asset(BODIES)
        asks = rows_asset({"id": [1], "question": ["parcel"]}, "asks")
        past, tbl = Table(tickets, key="id"), Table(asks, key="id")
        index = past.add_embedding_index(
            past.body, embedding=embeddings.using(model="text-embedding-3-small")
        )
        tbl.add_computed_column(context=index.search(tbl.question, k=1))
        return {"tickets": tickets, "asks": asks, "past": past, "tbl": tbl}

    def test_an_index_and_what_searches_it_keep_together(
        self, held: Any, store: ColumnStore, indexes: EmbeddingIndexes, simulated: Any
    ) -> None:
        """A lookup depends on the index that has the same prefix, and finds its rows."""
        assets = loaded("team", **held)
        result = run(assets, columns=store, indexes=indexes, openai=simulated)
        assert result.success
        found = result.asset_value(["team", "asks", "context"])
        assert '"id":1' in found["context"][0].as_py()
        searched = held["past"].body.similarity("parcel", k=1, indexes=indexes)
        assert searched["id"].to_pylist() == [1]

    def test_of_two_stored_copies_the_search_names_both(
        self, held: Any, store: ColumnStore, indexes: EmbeddingIndexes, simulated: Any
    ) -> None:
        """Which one is meant is not guessed; the loaded asset says it."""
        teams = {name: loaded(name, **held) for name in ("a", "b")}
        for assets in teams.values():
            run(assets, columns=store, indexes=indexes, openai=simulated)
        with pytest.raises(SearchError, match="is stored as a/tickets/body_idx, b/tickets/body_idx"):
            indexes.search(held["past"].body, "parcel", k=1)
        (of_a,) = [one for one in teams["a"] if one.key.path[-1] == "body_idx"]
        assert indexes.search(of_a, "parcel", k=1)["id"].to_pylist() == [1]


def test_a_run_that_computes_nothing_is_no_success(store: ColumnStore) -> None:
    """A step of a definition whose asset has gone from it cannot end green."""
    tickets = rows_asset(BODIES)
    tbl = Table(tickets, key="id")
    column = tbl.add_computed_column(loud=upper(tbl.body))
    with dg.build_asset_context(resources={"columns": store}) as context:
        nothing = column.subset_for(set(), set())
        with pytest.raises(dg.Failure, match="selected neither tickets/loud nor any of its checks"):
            list(nothing(context, pa.table(BODIES)))  # type: ignore[call-overload]
