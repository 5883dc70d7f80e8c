"""What a table is of, and how its columns are referred to."""

import re

import dagster as dg
import pyarrow as pa
import pytest

from pxt_assets import Table
from pxt_assets.errors import DefinitionError, PxtError, UnknownColumnError
from pxt_assets.functions import moderations
from pxt_assets.values.types import Array, Json, String
from tests.assets.declared_tickets import spec, tickets


@dg.multi_asset(specs=[dg.AssetSpec("one"), dg.AssetSpec("two")])
def both(): ...


class TestUpstream:
    @pytest.mark.parametrize(
        "asset",
        [tickets, dg.AssetSpec("tickets"), dg.AssetKey("tickets"), "tickets"],
        ids=["definition", "spec", "key", "text"],
    )
    def test_any_form_of_an_asset_is_a_table(self, asset):
        """What matters is the asset's key."""
        column = Table(asset).add_computed_column(c=moderations(Table(asset).body))
        assert spec(column).key == dg.AssetKey(["tickets", "c"])
        assert [dep.asset_key for dep in spec(column).deps] == [dg.AssetKey("tickets")]

    def test_text_with_slashes_is_a_key_with_a_prefix(self):
        """As Dagster writes keys."""
        table = Table("raw/tickets")
        column = table.add_computed_column(c=moderations(table.body))
        assert spec(column).key == dg.AssetKey(["raw", "tickets", "c"])

    @pytest.mark.parametrize(
        ("asset", "message"),
        [
            (
                both,
                "got an asset definition of 2 assets (one, two); give the key of the one that is the table",
            ),
            (42, "got int 42 as a table, allowed: an asset, an AssetSpec, an AssetKey, or its text"),
            ("", "got str '' as a table"),
            (None, "got NoneType None as a table"),
            (pa.table({}), "as a table, allowed: an asset"),
        ],
    )
    def test_what_is_no_asset_is_refused(self, asset, message):
        """The message says what was got and what is allowed."""
        with pytest.raises(DefinitionError, match=re.escape(message)):
            Table(asset)

    def test_partitions_are_the_upstreams_or_as_told(self):
        """A definition or spec tells its partitions; `partitions_def` counts before it."""
        days, colours = dg.DailyPartitionsDefinition("2027-01-01"), dg.StaticPartitionsDefinition(["red"])
        upstream = dg.AssetSpec("tickets", partitions_def=days)
        for table, expected in (
            (Table(upstream), days),
            (Table(upstream, partitions_def=colours), colours),
            (Table("tickets"), None),
        ):
            column = table.add_computed_column(c=moderations(table.body))
            assert column.partitions_def == expected

    @pytest.mark.parametrize(
        "key", ["", 5, ["id", "id"], ["id", ""], ["id", 5], [["id"]], {"id": 1}.values()]
    )
    def test_a_key_is_one_or_more_names(self, key):
        """Anything else is refused, shown as it was got."""
        with pytest.raises(
            DefinitionError, match=r"got key=.*allowed: a column name, or several different ones"
        ):
            Table("tickets", key=key)

    @pytest.mark.parametrize("column_type", [str, "String", None, pa.string(), String()])
    def test_a_schema_is_of_our_types(self, column_type):
        """The message names the column and the types that are allowed."""
        with pytest.raises(
            DefinitionError, match=r"schema\['body'\]: got .*allowed: a type of pxt_assets\.types"
        ):
            Table("tickets", schema={"body": column_type})

    def test_a_vectors_type_is_a_schemas(self):
        """`Array[...]` is written as the other types are."""
        assert Table("tickets", schema={"v": Array[(3,), "float32"], "j": Json})

    @pytest.mark.parametrize(
        "wrong", [{"key": "ident"}, {"key": ["id", "ident"]}, {"schema": {"ident": Json}}]
    )
    def test_key_and_schema_name_columns_that_there_are(self, wrong):
        """Where the columns are known, a misspelt one is found at once."""
        with pytest.raises(UnknownColumnError, match="has no column 'ident'; it has id, body, subject"):
            Table(tickets, **wrong)

    def test_iterating_gives_the_assets(self, tbl):
        """A table in definitions has no rows yet; `[tickets, *tbl]` are all its assets."""
        added = tbl.add_computed_column(again=tbl.body)

        assert [*tbl] == [added]

    def test_columns_may_have_the_names_of_a_lists_methods(self, tbl):
        """Dagster takes a table for a list of assets, but `index` and `count` are columns as any other."""
        tbl.add_computed_column(count=tbl.body)

        assert repr(tbl.count) == "tickets.count"


class TestReferences:
    def test_attributes_and_items_are_columns(self, tbl):
        """`tbl.body` and `tbl["body"]` are the same column."""
        assert repr(tbl.body) == repr(tbl["body"]) == "tickets.body"

    def test_an_unknown_column_is_an_error_that_lists_the_names(self, tbl):
        """Upstream and computed columns are listed, and the nearest is offered."""
        tbl.add_computed_column(harm=moderations(tbl.body))
        with pytest.raises(UnknownColumnError) as e:
            _ = tbl.bodi
        assert str(e.value) == (
            "Table('tickets') has no column 'bodi'; it has id, body, subject, harm; did you mean 'body'?"
        )

    def test_an_unknown_column_is_what_python_expects(self, tbl):
        """`hasattr` and `except KeyError` work as on any object; all errors have one base."""
        assert not hasattr(tbl, "bodi")
        with pytest.raises(KeyError):
            tbl["bodi"]
        with pytest.raises(PxtError):
            tbl["bodi"]

    def test_where_columns_are_not_known_any_name_is_one(self, unknown):
        """The run tells whether it is there."""
        assert repr(unknown.whatever) == "tickets.whatever"

    def test_names_that_begin_with_an_underscore_are_items(self, unknown):
        """Such attributes are Python's; the message says how to write the column."""
        assert repr(unknown["_id"]) == "tickets._id"
        with pytest.raises(AttributeError, match=re.escape("tbl['_id']")):
            _ = unknown._id

    @pytest.mark.parametrize("name", [0, None, ("a", "b"), slice(None)])
    def test_columns_are_named_by_text(self, unknown, name):
        """A table has no positions."""
        with pytest.raises(DefinitionError, match="a column is named by text"):
            unknown[name]

    def test_a_computed_column_can_be_referred_to(self, tbl):
        """Its asset is its own, below the table's."""
        tbl.add_computed_column(harm=moderations(tbl.body))
        flagged = tbl.add_computed_column(flagged=tbl.harm.results[0].flagged)
        assert [dep.asset_key for dep in spec(flagged).deps] == [dg.AssetKey(["tickets", "harm"])]
