from collections.abc import Callable

import pandas as pd
import pytest

from pxt_assets.errors import SourceError
from pxt_assets.storage.tables import table_of

FRAME = pd.DataFrame({"model": ["a", "a", "b"], "day": [1, 2, 1], "usd": [1.0, 2.0, 3.0]})
TWO_LEVELS = FRAME.set_index(["model", "day"])


def test_a_named_index_is_a_column():
    """The groups of a sum are kept, before the other columns."""
    assert table_of(FRAME.groupby("model")[["usd"]].sum()).to_pydict() == {
        "model": ["a", "b"],
        "usd": [3.0, 3.0],
    }


def test_the_levels_of_an_index_are_columns_in_their_order():
    """Each under its name."""
    assert table_of(TWO_LEVELS).to_pydict() == FRAME.to_dict("list")
    assert table_of(FRAME.groupby(["day", "model"])[["usd"]].mean()).column_names == ["day", "model", "usd"]


@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2027-03-01", periods=3, freq="D", tz="UTC"),
        pd.timedelta_range("1h", periods=3),
        pd.CategoricalIndex(["a", "b", "a"]),
        pd.period_range("2027-03", periods=3, freq="M"),
        pd.interval_range(0, 3),
        pd.RangeIndex(5, 8),
        pd.Index([0.5, 1.5, 2.5]),
        pd.Index(["a", None, "c"]),
        pd.Index([1, 2, None], dtype="Int64"),
        pd.Index([True, False, True]),
        pd.Index([{"a": 1}, None, {"b": 2}], dtype=object),
    ],
    ids=lambda index: type(index).__name__ + str(index.dtype),
)
def test_an_index_of_any_type_is_read_as_a_column_of_it_is(index: pd.Index):
    """Whether values stand in an index or in a column makes no difference."""
    of_index = table_of(pd.DataFrame({"usd": [1, 2, 3]}, index=index.rename("i")))
    of_column = table_of(pd.DataFrame({"i": pd.Series(index), "usd": [1, 2, 3]}))
    assert of_index.equals(of_column)


@pytest.mark.parametrize(
    "narrow",
    [
        lambda frame: frame,
        lambda frame: frame[:2],
        lambda frame: frame.set_axis([0, 1, 2]),
        lambda frame: frame[1:].reset_index(drop=True),
        lambda frame: frame[frame.usd > 99],
        lambda frame: pd.concat([frame, frame], ignore_index=True),
    ],
)
def test_an_index_that_counts_the_rows_is_none(narrow: Callable[[pd.DataFrame], pd.DataFrame]):
    """Nor is one that is left without rows."""
    assert table_of(narrow(FRAME)).column_names == ["model", "day", "usd"]


@pytest.mark.parametrize(
    "narrow",
    [
        lambda frame: frame[1:],
        lambda frame: frame.iloc[::2],
        lambda frame: frame.tail(1),
        lambda frame: frame[frame.usd > frame.usd.min()],
        lambda frame: frame[frame.usd != frame.usd[1]],
        lambda frame: pd.concat([frame, frame]),
    ],
)
def test_what_is_left_of_an_index_is_refused(narrow: Callable[[pd.DataFrame], pd.DataFrame]):
    """Whether it happens to be a range of numbers or not."""
    with pytest.raises(SourceError, match="an index without a name"):
        table_of(narrow(FRAME))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (pd.Index(["x", "y", "z"]), r"an index without a name \('x', 'y', 'z'\)"),
        (pd.Index([101, 102, 103]), r"an index without a name \(101, 102, 103\)"),
        (pd.Index([2, 0, 1]), r"an index without a name \(2, 0, 1\)"),
        (pd.RangeIndex(1, 4), r"an index without a name \(1, 2, 3\)"),
        (pd.date_range("2027-03-01", periods=3), r"an index without a name \(Timestamp"),
        (
            pd.MultiIndex.from_tuples([(1, 2), (1, 3), (2, 1)], names=["a", None]),
            r"an index whose levels 1 have no name \(\(1, 2\), ",
        ),
    ],
    ids=str,
)
def test_an_index_without_a_name_is_refused(index: pd.Index, message: str):
    """It would be lost; the message shows it and says what to do."""
    with pytest.raises(SourceError, match=message) as raised:
        table_of(FRAME.set_axis(index))
    assert 'rename_axis("id")' in str(raised.value)
    assert "reset_index(drop=True)" in str(raised.value)


def test_an_index_named_as_a_column_is_refused():
    """Neither is dropped silently."""
    with pytest.raises(SourceError, match="an index and a column named 'model'"):
        table_of(FRAME.set_index("model", drop=False))
    with pytest.raises(SourceError, match="two levels named 'day'"):
        table_of(FRAME.set_index(["model", "day"]).rename_axis(["day", "day"]))


def test_an_empty_frame_keeps_the_columns_of_its_index():
    """A partition without rows has the columns of the others."""
    assert table_of(FRAME.set_index("model")[:0]).column_names == ["model", "day", "usd"]
    assert table_of(FRAME[:0].set_axis(pd.Index([], dtype=str))).column_names == ["model", "day", "usd"]
