"""The digest of what a column is made from: files of earlier versions hold it."""

import datetime
import decimal
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pxt_assets import Table
from pxt_assets.compute.partition.input_digest import InputDigest
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.types import Array, Audio, Image, Json, String
from tests.runs import ask

SCHEMA = {
    "a": String,
    "b": Array[(3,), "float32"],
    "c": Image,
    "d": Json,
    "e": Array,
    "f": Audio,
}
TABLE = Table("tickets", schema={"a": String})
FROZEN = "29608603226e490657c79f6639d3b166"
"""As version 0.1.0 computed it when it had no rooms yet. Never change it: all unchanged rows would be looked at anew."""


def digest_of(names: str, *, code_version: str = "v1", text: str = "x") -> str:
    table = Table("tickets", schema=SCHEMA)
    columns = [table[name] for name in names.split()]
    digest = InputDigest(SimpleNamespace(code_version=code_version, inputs=SimpleNamespace(columns=columns)))
    digest.add([pa.array([text, None]), *[pa.array([1.5, None])] * (len(columns) - 1)])
    return digest.hexdigest()


def test_it_is_that_of_earlier_versions():
    """Whatever module the types of columns are defined in."""
    assert digest_of("a b c d e f untyped") == FROZEN


def bound_to(expr: object, column: pa.Array) -> str:
    plan = Plan(expr, None)
    digest = InputDigest(
        SimpleNamespace(code_version="v1", plan=plan, inputs=SimpleNamespace(columns=plan.columns))
    )
    digest.add([column])
    return digest.bound_to()


TEXTS = pa.array(["x"])


@pytest.mark.parametrize(
    ("expr", "column"),
    [
        (ask([TABLE.a, "2026-01-01"]), TEXTS),
        (ask([TABLE.a, decimal.Decimal(2)]), TEXTS),
        (ask([TABLE.a, datetime.date(2026, 1, 1)]), pa.array(["x"], pa.large_string())),
        (ask([TABLE.a, datetime.date(2026, 1, 1)]), pa.array([[1]])),
    ],
    ids=["type of a constant", "constant", "type", "list"],
)
def test_what_a_plan_is_bound_to_changes_with_constants_and_types(expr, column):
    """Each of them another, with all its parameters."""
    same = ask([TABLE.a, datetime.date(2026, 1, 1)])
    assert bound_to(same, TEXTS) == bound_to(same, TEXTS)
    assert bound_to(expr, column) != bound_to(same, TEXTS)


@pytest.mark.parametrize(
    ("names", "other"),
    [
        ("a b c d e f untyped", {"code_version": "v2"}),
        ("a b c d e f untyped", {"text": "y"}),
        ("a b c d e untyped f", {}),
        ("d b c d e f untyped", {}),
    ],
    ids=["code", "contents", "order", "type"],
)
def test_it_changes_with_what_a_column_is_made_from(names, other):
    """With its code, the contents of its inputs, their order, and what they were declared as."""
    assert digest_of(names, **other) != FROZEN
