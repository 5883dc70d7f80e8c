"""What a user-defined function has computed it does not compute again, until it is another one."""

from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pxt_assets import Table, udf
from tests.local.udfs import shout
from tests.runs import materialize, metadata, values


class TestReuse:
    def test_unchanged_rows_are_not_computed_again(self, tickets):
        """Nor equal rows twice."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            return text

        tickets.run(lambda t: f(t.body), body=["a", "b", "a"])
        result = tickets.run(lambda t: f(t.body), body=["b", "c"])
        assert sorted(calls) == ["a", "b", "c"]
        assert metadata(result, "tickets/c")["pxt/rows_reused"] == 1

    def test_a_refresh_computes_every_row(self, tickets):
        """Whatever is there."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            return text

        tickets.run(lambda t: f(t.body))
        tickets.run(lambda t: f(t.body), config={"refresh": True})
        assert sorted(calls) == ["a", "a", "b", "b"]

    def test_a_trial_computes_the_first_rows(self, tickets):
        """Which the run that follows takes over."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            return text

        tickets.run(lambda t: f(t.body), config={"limit": 1})
        assert calls == ["a"]
        tickets.run(lambda t: f(t.body))
        assert calls == ["a", "b"]

    @pytest.mark.parametrize("changed", ["source", "version", "default", "closure"])
    def test_a_changed_function_computes_every_row(self, changed, tickets):
        """By its source, its version, its defaults or what it closes over."""

        def made(new: bool) -> Any:
            suffix = "2" if new and changed == "closure" else "1"
            if new and changed == "source":

                def f(text: str, times: int = 1) -> str:
                    return text + suffix + "!"
            else:

                def f(text: str, times: int = 2 if new and changed == "default" else 1) -> str:
                    return text + suffix

            return udf(version="2" if new and changed == "version" else "1")(f)

        tickets.run(lambda t: made(False)(t.body))
        assert metadata(tickets.run(lambda t: made(False)(t.body)), "tickets/c")["pxt/rows_computed"] == 0
        assert metadata(tickets.run(lambda t: made(True)(t.body)), "tickets/c")["pxt/rows_computed"] == 2

    def test_each_partition_has_its_own_rows(self, store):
        """Computed by the same function."""
        days = dg.StaticPartitionsDefinition(["mon", "tue"])

        @dg.asset(name="tickets", io_manager_key="columns", partitions_def=days)
        def upstream(context: dg.AssetExecutionContext) -> pa.Table:
            return pa.table({"id": [1], "body": [context.partition_key]})

        table = Table(upstream, key="id")
        table.add_computed_column(c=shout(table.body))
        for day in ("mon", "tue"):
            materialize([upstream, *table.assets], store, partition=day)
            assert values(store, "tickets/c", day) == [day.upper()]
