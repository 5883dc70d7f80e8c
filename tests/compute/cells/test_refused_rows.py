from pxt_assets.compute.cells.refused_rows import RefusedRows
from pxt_assets.errors import CellError


def noted(rows: list[int]) -> RefusedRows:
    refused = RefusedRows()
    for row in rows:
        refused.add(
            row, CellError("TypeError" if row % 2 else "ValueError", f"row {row}: got nothing of use")
        )
    return refused


def test_the_errors_of_some_rows_are_found():
    """Those of the rows from a first one to before a last one, in their order, wherever the blocks end."""
    refused = noted(list(range(0, 30_000, 3)))
    for start, stop in [(0, 1), (1, 3), (0, 9_000), (12_287, 12_290), (29_000, 40_000), (29_998, 29_999)]:
        found = refused.errors_between(start, stop)
        assert found["row"].to_pylist() == [row for row in range(0, 30_000, 3) if start <= row < stop]
        assert all(
            message.startswith(f"row {row}:")
            for row, message in zip(found["row"].to_pylist(), found["errormsg"].to_pylist(), strict=True)
        )


def test_what_is_read_can_still_grow():
    """Rows may be noted after others were looked up."""
    refused = noted([1])
    assert refused.errors_between(0, 10)["errortype"].to_pylist() == ["TypeError"]
    refused.add(4, CellError("ValueError", "late"))
    assert refused.errors_between(0, 10)["row"].to_pylist() == [1, 4]


def test_rows_are_counted_by_error_type():
    """As a run's summary gives them."""
    refused = noted([1, 2, 3])
    assert (len(refused), dict(refused.errors)) == (3, {"TypeError": 2, "ValueError": 1})


def test_of_no_refused_rows_there_are_none():
    """An empty table, of the same columns."""
    assert RefusedRows().errors_between(0, 5).column_names == ["row", "errortype", "errormsg"]


def test_a_refused_row_takes_a_few_bytes():
    """Messages that are much alike are compressed: a million of them take less than 30 MB."""
    refused = noted(list(range(20_480)))
    assert sum(block.size for _, block in refused._blocks) / len(refused) < 30


def test_text_that_utf8_cannot_hold_is_kept():
    """A message quotes what a row holds."""
    refused = RefusedRows()
    refused.add(0, CellError("TypeError", "got \ud800"))
    assert refused.errors_between(0, 1)["errormsg"].to_pylist() == ["got �"]
