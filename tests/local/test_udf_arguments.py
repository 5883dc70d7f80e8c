"""What a user-defined function is given: expressions, fixed arguments, defaults and nulls."""

import re
from typing import Any

import pyarrow as pa
import pytest

from pxt_assets import Table, udf
from pxt_assets.values.types import Array
from tests.local.udfs import returning, shout
from tests.runs import ask, materialize, rows_asset, values


@udf
def shown(value: Any) -> str:
    return repr(value)


class TestNulls:
    def test_a_null_that_the_hint_does_not_allow_makes_the_cell_null(self, tickets):
        """The function is not called."""
        assert tickets.cells(lambda t: shout(t.body), body=["a", None]) == ["A", None]

    @pytest.mark.parametrize("body", [["a", None], [None, None]])
    def test_vectors_of_a_fixed_length_may_be_null(self, body, tickets):
        """Some of them, or all."""
        vector = returning([1.0, 2.0], Array[(2,), "float32"])
        want = [None if text is None else [1.0, 2.0] for text in body]
        assert tickets.cells(lambda t: vector(t.body), body=pa.array(body, pa.string())) == want

    def test_a_null_that_the_hint_allows_is_passed(self, tickets):
        """Also by a default of None, or without a hint."""

        @udf
        def f(a: str | None, b: str = None, c=1) -> str:  # type: ignore[assignment, no-untyped-def]  # noqa: RUF013
            return f"{a} {b} {c}"

        assert tickets.cells(lambda t: f(t.x, b=t.x, c=t.x), id=[0], x=pa.array([None], pa.string())) == [
            "None None None"
        ]

    def test_a_null_in_an_argument_with_a_default_is_no_missing_argument(self, tickets):
        """The hint says what becomes of it, not the default."""

        @udf
        def f(text: str, times: int = 2) -> str:
            return text * times

        assert tickets.cells(lambda t: f(t.body), body=["a"]) == ["aa"]
        assert tickets.cells(lambda t: f(t.body, times=t.n), body=["a", "a"], n=[None, 3]) == [None, "aaa"]

    def test_nulls_among_the_rows_of_a_batch(self, tickets):
        """Left out or passed, as the hint of the list's elements says."""

        @udf(batch_size=5)
        def without(texts: list[str]) -> list[int]:
            return [len(texts)] * len(texts)

        @udf(batch_size=5)
        def with_nulls(texts: list[str | None]) -> list[str]:
            return [repr(text) for text in texts]

        assert tickets.cells(lambda t: without(t.body), body=["a", None, "b"]) == [2, None, 2]
        assert tickets.cells(lambda t: with_nulls(t.body), body=["a", None]) == ["'a'", "None"]

    def test_a_null_result_is_null(self, tickets):
        """And no error; the next function does not get it."""
        nothing = returning(None, str)
        assert tickets.cells(lambda t: shout(nothing(t.body))) == [None, None]


class TestArguments:
    def test_any_expression_can_be_an_argument(self, tickets):
        """Columns, paths, templates, constants and other calls."""
        got = tickets.cells(
            lambda t: shown([t.body, {"n": t.data.n}, shout(t.body), 3]), body=["a"], data=[{"n": 1}]
        )
        assert got == ["['a', {'n': 1}, 'A', 3]"]

    def test_a_call_can_stand_in_a_template(self, tickets):
        """Beside columns and constants."""
        assert tickets.cells(lambda t: {"a": shout(t.body), "b": [t.body, 1]}) == [
            {"a": "A", "b": ["a", 1]},
            {"a": "B", "b": ["b", 1]},
        ]

    def test_a_nested_value_is_what_would_be_stored(self, tickets):
        """Lists rather than tuples, text as keys; so paths go the same way."""
        f = returning({1: ("a", "b")}, dict)
        assert tickets.cells(lambda t: shown(f(t.body)), body=["x"]) == ["{'1': ['a', 'b']}"]
        assert tickets.cells(lambda t: f(t.body)["1"][0], body=["x"]) == ["a"]

    def test_a_computed_column_can_be_an_argument(self, store):
        """Json as Python objects."""
        upstream = rows_asset({"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        table.add_computed_column(first={"a": table.body})
        table.add_computed_column(second=shown(table.first))
        materialize([upstream, *table.assets], store)
        assert values(store, "tickets/second") == ["{'a': 'a'}"]

    def test_it_can_stand_inside_the_messages_of_a_chat(self, tickets, openai, server):
        """And take what the chat says."""
        got = tickets.cells(
            lambda t: shout(ask(shout(t.body)).choices[0].message.content), openai=openai, body=["a", None]
        )
        assert got == ["RE: A", None]
        assert server.texts == ["A"]

    def test_defaults_are_the_functions(self, tickets):
        """Those that JSON cannot hold too."""

        @udf
        def f(text: str, pattern: Any = re.compile("a"), limit: float = float("inf")) -> str:
            return f"{pattern.pattern} {limit}"

        assert tickets.cells(lambda t: f(t.body), body=["x"]) == ["a inf"]

    def test_arguments_can_be_fixed(self, tickets):
        """`f.using(...)` is another function."""

        @udf
        def f(text: str, times: int) -> str:
            return text * times

        thrice = f.using(times=3)
        assert tickets.cells(lambda t: thrice(t.body)) == ["aaa", "bbb"]

    def test_it_is_a_factory_of_assets(self, store):
        """`f.asset(...)` adds the column, with the options of an asset."""
        upstream = rows_asset({"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        asset = shout.asset(name="c", table=table, text=table.body, group_name="texts")
        materialize([upstream, asset], store)
        assert values(store, "tickets/c") == ["A"]
        assert set(asset.group_names_by_key.values()) == {"texts"}
