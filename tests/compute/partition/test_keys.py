import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from pxt_assets.compute.partition.keys import check_unique, have_same_keys, key_text
from pxt_assets.errors import RunError


def batches(*chunks: dict[str, pa.Array]) -> list[pa.RecordBatch]:
    return [pa.record_batch(chunk) for chunk in chunks]


def check(*chunks: pa.Array) -> None:
    check_unique(batches(*({"id": chunk} for chunk in chunks)), ["id"], "tickets")


DISTINCT = {
    "int8": pa.array([-1, 0, 1, 127], pa.int8()),
    "uint64": pa.array([0, 1, 255, 256, 2**63, 2**64 - 1], pa.uint64()),
    "float": pa.array([0.5, -0.5, 1e300, float("inf")]),
    "bool": pa.array([True, False]),
    "string": pa.array(["", "a", "a\0", "\0", "ab", "é", "x" * 10_000]),
    "large_string": pa.array(["a", "b"], pa.large_string()),
    "string_view": pa.array(["a", "a text that is longer than twelve bytes"], pa.string_view()),
    "binary": pa.array([b"", b"\0", b"\0\0"]),
    "fixed_size_binary": pa.array([b"ab", b"\0b"], pa.binary(2)),
    "dictionary": pa.array(["x", "y"]).dictionary_encode(),
    "date": pa.array([datetime.date(2027, 3, 1), datetime.date(2027, 3, 2)]),
    "timestamp": pa.array([0, 1], pa.timestamp("ns", "UTC")),
    "duration": pa.array([0, 1], pa.duration("s")),
    "decimal": pa.array([decimal.Decimal("1.10"), decimal.Decimal("1.01")]),
}


@pytest.mark.parametrize("values", DISTINCT.values(), ids=DISTINCT)
def test_distinct_values_pass_and_a_repeated_one_is_found(values: pa.Array) -> None:
    """Of whatever type, and in whichever batch it comes again."""
    check(values)
    check(values.slice(1), values.slice(0, 1))
    with pytest.raises(RunError, match="is not unique in this partition") as e:
        check(values, values.slice(1, 1))
    assert repr(values[1].as_py())[:50] in str(e.value)


def test_values_of_several_columns_are_not_run_together() -> None:
    """`a, bc` is another key than `ab, c`; nor does it matter where a column's rows begin in memory."""
    table = {"x": pa.array(["-", "a", "ab", "a"]).slice(1), "y": pa.array(["-", "bc", "c", "c"]).slice(1)}
    check_unique(batches(table), ["x", "y"], "tickets")
    with pytest.raises(RunError, match="the key x, y is not unique in this partition: 'ab', 'c';"):
        check_unique(
            batches(table, {name: values.slice(1, 1) for name, values in table.items()}),
            ["x", "y"],
            "tickets",
        )


def test_a_value_that_comes_thrice_is_named_once() -> None:
    """What is counted are keys, not rows."""
    with pytest.raises(RunError, match="not unique in this partition: 2; remove the repeated rows"):
        check(pa.array([1, 2, 2]), pa.array([2, 3]))


def test_nulls_are_counted_over_all_batches() -> None:
    """The first is told by its row in the partition."""
    with pytest.raises(RunError, match=r"'id' is null in 3 rows \(first in row 3, counted from 0\)"):
        check(pa.array([1, 2, 3]), pa.array([None, 2]), pa.array([None, None], pa.int64()))


@pytest.mark.parametrize("values", [pa.array([[1]]), pa.array([{"a": 1}]), pa.array(["{}"]).cast(pa.json_())])
def test_values_that_cannot_be_compared_are_no_keys(values: pa.Array) -> None:
    """Even where they differ: the same value may be written in many ways."""
    with pytest.raises(
        RunError, match=r"tickets: the key id cannot identify rows .*allowed: text, numbers, dates"
    ):
        check(values)


@pytest.mark.parametrize(
    ("theirs", "same"),
    [
        ([pa.array([1, 2, 3], pa.int32())], True),
        ([pa.array([1]), pa.array([2, 3])], True),
        ([pa.array([1, 2])], False),
        ([pa.array([1, 3, 2])], False),
        ([pa.array(["1", "2", "x"])], False),
        ([], False),
    ],
)
def test_keys_correspond_by_value(theirs: list[pa.Array], same: bool) -> None:
    """Whatever their type and their batches."""
    (ours,) = batches({"id": pa.array([1, 2, 3])})
    assert have_same_keys(ours, batches(*({"id": values} for values in theirs))) is same


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0.5, float("nan"), float("nan")]),
        pa.array([0.5, float("nan"), float("nan")], pa.float16()),
        pa.array([0.5, float("nan"), float("nan")]).dictionary_encode(),
    ],
    ids=lambda values: str(values.type),
)
def test_nan_is_no_key(values: pa.Array) -> None:
    """It equals not even itself; the message says where the first one is."""
    message = r"tickets: the key column 'id' is NaN in 2 rows \(first in row 2, counted from 0\)"
    with pytest.raises(RunError, match=message):
        check(values[:1], values)


def test_categories_correspond_by_what_they_stand_for() -> None:
    """Whichever way they are numbered."""
    ours, theirs = (
        pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(names))
        for indices, names in (([0, 1], ["a", "b"]), ([1, 0], ["b", "a"]))
    )
    assert have_same_keys(*batches({"id": ours}), batches({"id": theirs}))
    assert have_same_keys(*batches({"id": ours}), batches({"id": pa.array(["a", "b"])}))
    assert not have_same_keys(*batches({"id": ours}), batches({"id": pa.array(["b", "a"])}))


def test_no_key_is_held() -> None:
    """What was looked at is let go, however long the texts are: they are known by their digests."""
    texts = pa.array(np.char.add("k" * 1_600, np.arange(1_000).astype(str)))
    before = pa.total_allocated_bytes()
    seen: list[int] = []

    def source():
        for i in range(20):
            seen.append(pa.total_allocated_bytes() - before)
            yield pa.record_batch({"n": pa.array([i] * len(texts)), "id": texts})

    check_unique(source(), ["n", "id"], "tickets")
    assert max(seen) < texts.nbytes


def test_a_key_is_shown_with_its_names() -> None:
    """As Python writes the values."""
    (row,) = batches({"day": pa.array(["mon"]), "id": pa.array([1])})
    assert key_text(["day", "id"], row) == "day='mon', id=1"
