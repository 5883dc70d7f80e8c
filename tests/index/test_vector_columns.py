"""An existing column of vectors as an index."""

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from pxt_assets import Table, udf
from pxt_assets.index.lance import table_names
from pxt_assets.values.types import Float
from tests.index.shop import Shop, told
from tests.runs import failure, rows_asset


@udf
def sick(text: str) -> np.ndarray:
    """A vector, with a NaN in that of one text."""
    return np.array([float("nan") if text == "b" else 1.0, float(len(text))], np.float32)


def test_a_computed_vector_with_nan_is_left_out(shop: Shop):
    """As a failed row is: it is in stored columns of earlier versions, and must not keep the others from being found."""
    source = rows_asset({"id": [0, 1, 2], "text": ["a", "b", "ccc"]}, name="points")
    tbl = Table(source, key="id")
    tbl.add_embedding_index(tbl.text, embedding=sick, idx_name="ix")
    shop.source = source
    shop.run(tbl)
    found = tbl.text.similarity("ccc", indexes=shop.indexes)
    assert found["id"].to_pylist() == [2, 0]


class TestVectorsAsTheyAre:
    """An existing column of vectors is indexed as it is."""

    def indexed(self, shop: Shop, vectors: list, **options) -> tuple[Table, dg.ExecuteInProcessResult]:
        source = rows_asset({"id": range(len(vectors)), "vec": vectors}, name="points")
        tbl = Table(source, key="id")
        tbl.add_embedding_index(tbl.vec, **options)
        shop.source = source
        return tbl, shop.run(tbl, fails=options.pop("fails", False))

    def test_upstream_vectors(self, shop: Shop):
        """Of any type of numbers, in lists of equal length."""
        tbl, result = self.indexed(shop, [[1, 0], [0, 1], [1, 1], None])
        assert told(result, asset="points/vec_idx")["pxt/dimensions"] == 2
        found = tbl.vec.similarity([1.0, 0.1], indexes=shop.indexes)
        assert found["id"].to_pylist() == [0, 2, 1]
        assert [a.key.to_user_string() for a in tbl.assets] == ["points/vec_idx"]

    @pytest.mark.parametrize(
        ("vectors", "says"),
        [
            ([[1.0, 2.0], [1.0], [3.0, 4.0], [1.0, 2.0, 3.0]], "id=1; id=3 with 1"),
            ([[1.0, 2.0], [float("nan"), 1.0]], "NaN, an infinite number or a null: id=1"),
            ([[1.0, 2.0], [float("inf"), 1.0]], "id=1"),
            ([[1.0, 2.0], [None, 1.0]], "id=1"),
            (pa.array([[], []], pa.list_(pa.float32())), "id=0; id=1 with 0"),
            (["a", "b"], "is string, allowed: vectors"),
        ],
    )
    def test_what_is_no_vector_is_named_by_its_row(self, shop: Shop, vectors: list, says: str):
        """Nothing is indexed where a vector is wrong, and the message names the rows."""
        source = rows_asset({"id": range(len(vectors)), "vec": vectors}, name="points")
        tbl = Table(source, key="id")
        index = tbl.add_embedding_index(tbl.vec)
        shop.source = source
        result = shop.run(tbl, fails=True)
        assert says in failure(result).description
        assert "points/vec_idx" in failure(result).description
        assert table_names(shop.indexes.database(index.index_spec), index.index_spec) == []

    def test_a_later_partition_of_another_length(self, shop: Shop):
        """The index has the length of its first rows; what is stored stays as it was."""
        tbl, _ = self.indexed(shop, [[1.0, 0.0]])
        shop.source = rows_asset({"id": [0], "vec": [[1.0, 2.0, 3.0]]}, name="points")
        result = shop.run(tbl, fails=True)
        assert "than the index (2 numbers): id=0 with 3" in failure(result).description
        assert tbl.vec.similarity([1.0, 0.0], indexes=shop.indexes)["id"].to_pylist() == [0]

    def test_a_declared_type_that_is_none(self, shop: Shop):
        """A column of numbers is refused while definitions load."""
        tbl = Table(rows_asset({"x": [1.0]}), schema={"x": Float})
        with pytest.raises(ValueError, match="which is Float, allowed: a column of texts"):
            tbl.add_embedding_index(tbl.x)
