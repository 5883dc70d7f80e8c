"""What can be added to a table as a column, and what Dagster is told of it."""

import datetime
import re
from typing import Any

import dagster as dg
import pytest

from pxt_assets import Table
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import chat_completions, embeddings, moderations
from tests.assets.declared_tickets import spec


def version(expr: Any, table: Table | None = None, **options: Any) -> str | None:
    table = table or Table("tickets", key="id")
    return spec(table.add_computed_column(column=expr, **options)).code_version


class TestColumns:
    def test_assets_are_in_the_order_added(self, tbl):
        """All of them go into `Definitions`."""
        one = tbl.add_computed_column(a=moderations(tbl.body))
        two = tbl.add_computed_column(b=tbl.a.results)
        assert tbl.assets == [one, two]

    @pytest.mark.parametrize(
        "expr",
        [
            lambda t: moderations(t.body),
            lambda t: t.body,
            lambda t: t.body.choices[0],
            lambda t: moderations(t.body).results["*"].flagged,
            lambda t: {"a": t.body, "b": [1, None]},
            lambda t: [t.body, {"x": t.subject}],
            lambda t: embeddings(chat_completions(t.body, model="m").choices[0].message.content, model="m"),
            lambda t: chat_completions([{"role": "user", "content": "no column at all"}], model="m"),
        ],
    )
    def test_calls_references_paths_and_templates_are_columns(self, tbl, expr):
        """Whatever stands for a value of each row."""
        assert spec(tbl.add_computed_column(c=expr(tbl))).key == dg.AssetKey(["tickets", "c"])

    @pytest.mark.parametrize(
        ("columns", "got"),
        [
            ({}, "got no column; add one a call, name=expression"),
            ({"a": 1, "b": 2}, "got the columns a, b; add exactly one a call: name=expression"),
        ],
    )
    def test_exactly_one_column_a_call(self, tbl, columns, got):
        """As in Pixeltable; the message says how to write it."""
        with pytest.raises(DefinitionError, match=got):
            tbl.add_computed_column(**columns)

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("harm", "a computed column added before"),
            ("subject", "a column of the upstream asset"),
            ("id", "a key column"),
        ],
    )
    def test_a_name_is_used_once(self, tbl, name, what):
        """A column would hide the other, or an asset have two definitions."""
        tbl.add_computed_column(harm=moderations(tbl.body))
        with pytest.raises(DefinitionError, match=f"'{name}' is {what}; choose another name"):
            tbl.add_computed_column(**{name: moderations(tbl.body)})

    @pytest.mark.parametrize("suffix", ["errortype", "errormsg"])
    def test_a_key_column_is_not_taken_for_errors(self, suffix):
        """The column's file holds the keys and its errors side by side."""
        tbl = Table("tickets", key=["id", f"harm_{suffix}"])
        tbl.add_computed_column(other=moderations(tbl.body))
        with pytest.raises(
            DefinitionError, match=f"errors would be in 'harm_{suffix}', the name of a key column; choose"
        ):
            tbl.add_computed_column(harm=moderations(tbl.body))

    def test_a_key_column_called_digest_is_refused(self):
        """The column's file has one of its own."""
        with pytest.raises(
            DefinitionError, match="another use for the name '_digest'; rename the key column upstream"
        ):
            Table("tickets", key=["id", "_digest"])

    def test_a_name_that_was_referred_to_is_an_upstream_columns(self, unknown):
        """`body=f(tbl.body)` would give one name two meanings."""
        with pytest.raises(
            DefinitionError, match="'body' is a column of the upstream asset, referred to before"
        ):
            unknown.add_computed_column(body=moderations(unknown.body))

    @pytest.mark.parametrize(
        "name", ["assets", "add_computed_column", "from_files", "_x", "_digest", "x_errortype", "x_errormsg"]
    )
    def test_reserved_names_are_refused(self, tbl, name):
        """They have another meaning on the table or in the stored rows."""
        with pytest.raises(DefinitionError, match=f"'{name}' is a reserved name .*; choose another"):
            tbl.add_computed_column(**{name: moderations(tbl.body)})

    @pytest.mark.parametrize(
        ("expr", "got"),
        [
            ("text", "got str 'text'"),
            (3, "got int 3"),
            (None, "got NoneType None"),
            ({"a": [1, "x"]}, "got dict {'a': [1, 'x']}"),
            (embeddings, "got ApiFunction embeddings"),
            (len, "got builtin_function_or_method"),
        ],
    )
    def test_what_is_the_same_for_all_rows_is_no_column(self, tbl, expr, got):
        """A literal, or a function that was not called, is refused with what is allowed."""
        with pytest.raises(DefinitionError, match=re.escape(got)) as e:
            tbl.add_computed_column(c=expr)
        assert "allowed: a function call, a column reference, or a dict or list of these" in str(e.value)

    @pytest.mark.parametrize("make", [lambda o: moderations(o.body), lambda o: {"x": [o.body.y]}])
    def test_columns_of_other_tables_are_refused(self, tbl, make):
        """Rows of two tables do not correspond; the message says to join them upstream."""
        with pytest.raises(
            DefinitionError, match=r"orders\.body is a column of another table; join the tables upstream"
        ):
            tbl.add_computed_column(c=make(Table("orders")))

    @pytest.mark.parametrize("on_error", ["stop", None, "", True])
    def test_on_error_is_abort_or_ignore(self, tbl, on_error):
        """The message says what was got and what is allowed."""
        with pytest.raises(DefinitionError, match=f"got on_error={on_error!r}, allowed: 'abort' or 'ignore'"):
            tbl.add_computed_column(c=moderations(tbl.body), on_error=on_error)

    @pytest.mark.parametrize("value", [b"bytes", {1, 2}, float("nan"), object()])
    def test_literals_that_json_cannot_hold_are_refused(self, tbl, value):
        """They would fail every row."""
        with pytest.raises(DefinitionError, match=r"Table\('tickets'\)\.c: .*JSON"):
            tbl.add_computed_column(c=moderations(tbl.body, user=value))

    def test_a_refused_column_leaves_the_table_as_it_was(self, tbl):
        """The name is free for another try."""
        with pytest.raises(DefinitionError):
            tbl.add_computed_column(c="text")
        assert tbl.assets == []
        assert tbl.add_computed_column(c=moderations(tbl.body))


class TestAttributes:
    def test_options_are_the_assets(self, tbl):
        """Owners, tags, group, description and automation are Dagster's own."""
        condition = dg.AutomationCondition.eager()
        policy = dg.FreshnessPolicy.time_window(fail_window=datetime.timedelta(days=1))
        got = spec(
            tbl.add_computed_column(
                c=moderations(tbl.body),
                owners=["team:search"],
                tags={"a": "b"},
                group_name="g",
                description="d",
                automation_condition=condition,
                freshness_policy=policy,
            )
        )
        assert (list(got.owners), got.tags["a"], got.group_name) == (["team:search"], "b", "g")
        assert str(got.description).startswith("d\n")
        assert got.automation_condition == condition
        assert got.freshness_policy == policy

    def test_the_group_is_the_upstreams_unless_told(self, tbl):
        """A table and its columns stand together."""
        assert spec(tbl.add_computed_column(c=moderations(tbl.body))).group_name == "support"

    def test_a_partition_mapping_to_nothing_of_the_table_is_refused(self):
        """A column that reads computed columns alone has their partitions: there is nothing to map."""
        table = Table("tickets")
        table.add_computed_column(a=moderations(table.body))
        with pytest.raises(DefinitionError, match="leave it out"):
            table.add_computed_column(b=table.a.id, partition_mapping=dg.AllPartitionMapping())

    def test_the_partition_mapping_is_that_of_the_table(self):
        """It says which of the table's partitions one of ours reads."""
        days = dg.DailyPartitionsDefinition("2027-01-01")
        table = Table(dg.AssetSpec("tickets", partitions_def=days))
        mapping = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
        column = table.add_computed_column(c=moderations(table.body), partition_mapping=mapping)
        assert column.get_partition_mapping_for_dep(dg.AssetKey("tickets")) == mapping


class TestCodeVersion:
    def test_it_is_the_same_in_every_process(self, unknown):
        """A frozen value: another one would mark every column as outdated."""
        messages = [{"role": "user", "content": unknown.body}]
        expr = chat_completions(messages, model="gpt-4o-mini", temperature=0)
        assert version(expr.choices[0].message.content, unknown) == "ef3db38b72f5fe30"

    @pytest.mark.parametrize(
        "options",
        [
            {"description": "d"},
            {"owners": ["team:x"]},
            {"tags": {"a": "b"}},
            {"group_name": "g"},
            {"automation_condition": dg.AutomationCondition.eager()},
            {"on_error": "ignore"},
        ],
    )
    def test_how_a_column_is_described_does_not_count(self, unknown, options):
        """Only what is computed is versioned."""
        assert version(moderations(unknown.body), **options) == version(moderations(unknown.body))

    @pytest.mark.parametrize(
        "other",
        [
            lambda t: moderations(t.subject),
            lambda t: moderations(t.body, model="m"),
            lambda t: moderations(t.body, user="u"),
            lambda t: moderations(t.body).results,
            lambda t: embeddings(t.body, model="m"),
            lambda t: {"x": moderations(t.body)},
        ],
    )
    def test_what_is_computed_counts(self, unknown, other):
        """Function, model, arguments, columns and paths are versioned."""
        assert version(other(unknown)) != version(moderations(unknown.body))

    def test_a_prompt_counts(self, unknown):
        """One word of it makes another version."""
        one, other = (
            version(chat_completions([{"role": "system", "content": text}], model="m")) for text in ("a", "b")
        )
        assert one != other

    def test_the_row_key_counts(self, unknown):
        """Rows that are told apart otherwise are other rows."""
        expr = moderations(unknown.body)
        assert version(expr, Table("tickets", key=["id", "day"])) != version(expr)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é"])
def test_column_names_are_identifiers(name):
    """A column's name is part of an asset's name."""
    table = Table("tickets")
    with pytest.raises(DefinitionError, match="letters, digits and _"):
        table.add_computed_column(**{name: moderations(table.body)})


def test_tables_that_read_alike_do_not_collide():
    """Assets have names of their own, whatever underscores their keys hold."""
    first, second = Table(dg.AssetKey(["x__y"])), Table(dg.AssetKey(["x"]))
    first.add_computed_column(z=moderations(first.body))
    second.add_computed_column(y__z=moderations(second.body))
    ops = [asset.op.name for table in (first, second) for asset in table.assets]
    assert len(set(ops)) == 2


def test_a_column_whose_options_dagster_refuses_was_never_added():
    """Its name is free again, and no index takes it for a column that is there."""
    table = Table("tickets")
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="Invalid owner"):
        table.add_computed_column(c=moderations(table.body), owners=["nobody in particular"])
    assert table.assets == []
    assert table.add_computed_column(c=moderations(table.body)).key == dg.AssetKey(["tickets", "c"])
