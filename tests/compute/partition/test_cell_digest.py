"""The name of a cell: what it asks, and nothing else."""

import datetime
import decimal
import math
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets import udf
from pxt_assets.compute.partition.plan import cell_digest
from pxt_assets.functions import embeddings, moderations
from tests.compute.partition.plans import TBL, chat, plan


class TestDigests:
    @staticmethod
    def of(expr: Any, *row: Any) -> bytes:
        return cell_digest(plan(expr).prepare(row))

    def test_a_call_is_named_by_its_request(self):
        """Whichever column's values it was made of."""
        assert self.of(chat(), "x") == self.of(chat("x")) == plan(chat("x")).prepare(()).request.digest

    @pytest.mark.parametrize(
        ("expr", "row", "frozen"),
        [
            (chat().choices[0].message.content, ("x",), "9eb575c1fcae120d1c8c311455e449bf"),
            (chat()["choices"]["*"], ("x",), "8eaf2c65a28dd001794e260e336fe6ed"),
            ({"in": TBL.body, "out": chat()}, ("Grüße 😀",), "8e4445387764b06c6b60de01f4d3dc27"),
            (
                embeddings(chat().choices[0].message.content, model="e"),
                ("x",),
                "00f7786b6c0ad3a772b67fbc60870777",
            ),
            (TBL.r, ({"b": [1, 1.0, None, True], "a": "é"},), "b58addda4d26625321f3057cad98ffb5"),
            (TBL.r, ("x",), "321eb4636db6b902a5a1800c7e42a4a1"),
            (TBL.r, (b"x",), "2edfddce28f8f3b6a7538b7ab4248a60"),
        ],
    )
    def test_digests_are_frozen(self, expr, row, frozen):
        """A cell's name is the same for ever, on every machine."""
        assert self.of(expr, *row).hex() == frozen

    def test_other_cells_have_other_names(self):
        """Input, path, function and template count."""
        cells = [
            self.of(chat(), "x"),
            self.of(chat().choices, "x"),
            self.of(chat().choices[0], "x"),
            self.of(chat()["*"], "x"),
            self.of(chat()[1:], "x"),
            self.of(chat().choices, "y"),
            self.of({"a": chat()}, "x"),
            self.of([chat()], "x"),
            self.of(embeddings(chat().x, model="e"), "x"),
            self.of(embeddings(chat().x, model="f"), "x"),
            self.of(moderations(chat().x, model="e"), "x"),
        ]
        assert len(set(cells)) == len(cells)

    @pytest.mark.parametrize(
        "given", [lambda s: {"response_format": s}, lambda s: {"model_kwargs": {"response_format": s}}]
    )
    def test_the_order_of_keys_counts_in_schemas(self, given):
        """A model fills in a schema's properties in their order, in an outer call too."""
        one, other = (
            self.of(chat(chat().x, **given({"properties": {key: {} for key in keys}})), "x")
            for keys in ("ab", "ba")
        )
        assert one != other

    def test_a_local_outer_call_tells_types_apart_that_json_does_not(self):
        """An outer call of the API's does not: its request is the same."""

        @udf(version="1")
        def f(text: str, more: Any) -> str:
            return f"{text}{more}"

        text, more = chat().choices[0].message.content, decimal.Decimal("1.5")
        assert self.of(f(text, more=TBL.n), "x", more) != self.of(f(text, more=TBL.n), "x", "1.5")
        assert self.of(f(text, more=TBL.n), "x", "1.5") == self.of(f(text, more=TBL.n), "x", "1.5")
        outer = embeddings(text, model="e", dimensions=TBL.n)
        assert self.of(outer, "x", more) == self.of(outer, "x", "1.5")

    def test_null_arguments_of_an_outer_call_are_as_if_left_out(self):
        """As they are in its request."""
        plain = self.of(embeddings(chat().x, model="e"), "x")
        assert self.of(embeddings(chat().x, model="e", model_kwargs=None), "x") == plain
        assert self.of(embeddings(chat().x, model="e", dimensions=TBL.n), "x", None) == plain

    @given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=5), st.randoms())
    def test_the_order_of_keys_does_not_count(self, value, random):
        """Equal values have equal names."""
        items = list(value.items())
        random.shuffle(items)
        assert self.of(TBL.r, dict(items)) == self.of(TBL.r, value)

    @pytest.mark.parametrize(
        "value",
        [
            math.nan,
            [math.inf, {"x": -math.inf}],
            b"\x89PNG",
            {"bytes": b"x", "path": None},
            [("key", 1)],
            datetime.date(2027, 3, 1),
            datetime.timedelta(seconds=1),
            decimal.Decimal("1.10"),
            uuid.UUID(int=1),
            "a\ud800b",
        ],
    )
    def test_whatever_a_column_holds_has_a_name(self, value):
        """A column can be copied, of whatever type it is; equal values have equal names, others do not."""
        assert self.of(TBL.r, value) == self.of(TBL.r, value)
        assert self.of(TBL.r, value) != self.of(TBL.r, [value])
        assert self.of(TBL.r, value) != self.of(TBL.r, math.pi)
