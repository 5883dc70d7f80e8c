import datetime
import decimal
import json
import math
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.errors import CellError
from pxt_assets.values.conversion import check_value, to_arrow, to_python
from pxt_assets.values.json_text import canonical_json, dumps, replace_surrogates
from pxt_assets.values.types import (
    Array,
    Audio,
    Bool,
    Float,
    Image,
    ImageData,
    Int,
    Json,
    String,
    schema_entries,
    type_name,
    variable_length_type,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


class TestDumps:
    def test_canonical_text_sorts_the_keys(self):
        """What is hashed is equal for dicts that differ in order alone."""
        assert canonical_json({"b": {"d": 1, "c": 2}, "a": 0}) == '{"a":0,"b":{"c":2,"d":1}}'

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ({"b": 1, "a": [1, 2]}, '{"b":1,"a":[1,2]}'),
            ("é 😀 \u2028", '"é 😀 \u2028"'),
            (1.0, "1.0"),
            (1, "1"),
            (True, "true"),
            (datetime.date(2027, 3, 1), '"2027-03-01"'),
            (datetime.datetime(2027, 3, 1, 12, tzinfo=datetime.UTC), '"2027-03-01T12:00:00+00:00"'),
            (datetime.time(12, 30), '"12:30:00"'),
            (decimal.Decimal("1.10"), '"1.10"'),
            (uuid.UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
            (np.int64(3), "3"),
            (np.float32(0.5), "0.5"),
            (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
            ((1, 2), "[1,2]"),
        ],
    )
    def test_the_text_is_compact(self, value, text):
        """Keys as they come, no spaces, text unescaped, ints apart from floats, dates in ISO 8601, decimals by digit."""
        assert dumps(value) == text

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), {"x": [math.nan]}])
    def test_numbers_that_json_lacks_are_refused(self, value):
        """NaN and infinity are no JSON."""
        with pytest.raises(ValueError, match="JSON compliant"):
            dumps(value)

    def test_bytes_are_refused_with_what_to_do(self):
        """Bytes are media, which the table's schema has to say."""
        with pytest.raises(TypeError, match="give text instead"):
            dumps({"x": b"\x89PNG"})

    def test_other_objects_are_refused_by_name(self):
        """The message says what was got."""
        with pytest.raises(TypeError, match="got set where JSON is needed"):
            dumps({"x": {1}})


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("\ufeffbom\ud800", "\ufeffbom\ufffd"),
    ],
)
def test_lone_surrogates_become_replacement_characters(text, clean):
    """Halves of a pair are joined, halves without the other are replaced, all else is kept."""
    assert replace_surrogates(text) == clean


class TestJson:
    @given(st.lists(JSON, max_size=5))
    def test_values_come_back_exactly(self, values):
        """What goes into a Json column comes out of it, types of numbers included."""
        back = to_python(to_arrow(values, Json))
        assert back == values
        assert [repr(v) for v in back] == [repr(json.loads(dumps(v))) for v in values]

    def test_a_column_is_arrows_json(self):
        """Json is stored as the canonical extension type, null as null."""
        array = to_arrow([{"a": 1}, None, "text"], Json)
        assert array.type == Json.arrow() == pa.json_(pa.string())
        assert array.is_null().to_pylist() == [False, True, False]
        assert array.storage.to_pylist() == ['{"a":1}', None, '"text"']

    def test_lone_surrogates_can_be_stored(self):
        """An answer may hold text that UTF-8 cannot."""
        assert to_python(to_arrow([{"t": "a\ud800"}], Json)) == [{"t": "a\ufffd"}]

    def test_chunks_are_read_in_order(self):
        """A chunked column is read as one."""
        column = pa.chunked_array([to_arrow([1, 2], Json), to_arrow([None, {"x": []}], Json)])
        assert to_python(column) == [1, 2, None, {"x": []}]

    def test_declared_text_is_parsed(self):
        """Json kept as text is Json where the schema says so, null kept."""
        assert to_python(pa.array(['{"a": 1}', None, "[]"]), Json) == [{"a": 1}, None, []]

    @pytest.mark.parametrize(
        "column",
        [
            pa.array(["[1]", "{broken"]),
            pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(["[1]", "{broken"])),
        ],
    )
    def test_text_that_is_not_json_is_that_rows_error(self, column):
        """One bad row does not fail the others."""
        good, bad = to_python(column, Json)
        assert good == [1]
        assert isinstance(bad, CellError)
        assert bad.errortype == "TypeError"
        assert "{broken" in bad.message


class TestArray:
    def test_the_length_is_part_of_the_type(self):
        """A known length makes a fixed-size list, an unknown one does not."""
        assert Array[(3,), "float32"].arrow() == pa.list_(pa.float32(), 3)
        assert Array[(None,), "float32"].arrow() == pa.list_(pa.float32())
        assert Array[(None,), "float32"] is Array
        assert Array[(3,), "float32"] is Array[(3,), np.float32]
        assert Array[(3,)] is Array[(3,), "float32"]

    @pytest.mark.parametrize(
        "item",
        [3, (3, 4), ((3, 4), "float32"), (("3",), "float32"), ((0,), "float32"), ((-1,), "float32")],
    )
    def test_other_shapes_are_refused(self, item):
        """A vector has one dimension, of a positive length."""
        with pytest.raises(TypeError, match="a vector's type is"):
            Array[item]

    def test_other_numbers_are_refused(self):
        """A vector is of float32: a type that says otherwise would not be kept."""
        with pytest.raises(TypeError, match="a vector's type is"):
            Array[(3,), "float64"]

    def test_vectors_keep_their_bits(self):
        """float32 in, the same float32 out, nulls kept."""
        vectors = [np.array([0.1, -2.5], np.float32), None, np.array([], np.float32)]
        array = to_arrow(vectors, Array)
        assert array.type == Array.arrow()
        assert array.is_null().to_pylist() == [False, True, False]
        np.testing.assert_array_equal(array[0].values.to_numpy(), vectors[0])
        assert array[2].as_py() == []

    def test_a_fixed_length_is_kept(self):
        """An array is of the type it was asked for."""
        array = to_arrow([[1, 2, 3], None], Array[(3,), "float32"])
        assert array.type == pa.list_(pa.float32(), 3)
        assert array.to_pylist() == [[1.0, 2.0, 3.0], None]

    def test_no_vector_at_all_is_a_column_of_nulls(self):
        """A column whose rows are all null has its type all the same."""
        assert to_arrow([None, None], Array).to_pylist() == [None, None]
        assert to_arrow([], Array).type == Array.arrow()


class TestChecked:
    @pytest.mark.parametrize(
        ("value", "column_type", "kept"),
        [
            ("x", String, "x"),
            (3, Int, 3),
            (3, Float, 3.0),
            (0.5, Float, 0.5),
            (False, Bool, False),
            ({"a": 1}, Json, {"a": 1}),
            ([1, 2], Array[(2,), "float32"], [1, 2]),
            (2**63 - 1, Int, 2**63 - 1),
            *((None, t, None) for t in (String, Int, Float, Bool, Json, Array)),
        ],
    )
    def test_a_value_of_the_type_is_kept(self, value, column_type, kept):
        """Whole numbers are floats where floats are wanted; null is of every type."""
        got = check_value(value, column_type)
        assert got == kept
        assert type(got) is type(kept)

    @pytest.mark.parametrize(
        ("value", "column_type", "message"),
        [
            (3, String, "got int '3', allowed: String or null"),
            ("3", Int, "got str '3', allowed: Int or null"),
            (3.5, Int, "got float '3.5', allowed: Int or null"),
            (True, Int, "got bool 'True', allowed: Int or null"),
            (True, Float, "got bool 'True', allowed: Float or null"),
            (1, Bool, "got int '1', allowed: Bool or null"),
            ({}, String, "got dict '{}', allowed: String or null"),
            ([1], Array[(2,), "float32"], r"got list '\[1\]', allowed: Array\[\(2,\), float32\] or null"),
            ("12", Array, "got str '12', allowed: Array"),
            ([[1]], Array, "got list"),
            (["a"], Array, "got list"),
        ],
    )
    def test_a_value_of_another_type_is_the_rows_error(self, value, column_type, message):
        """The message says what was got and what is allowed."""
        with pytest.raises(CellError, match=message) as e:
            check_value(value, column_type)
        assert e.value.errortype == "TypeError"

    @pytest.mark.parametrize(("value", "column_type"), [(2**63, Int), (-(2**63) - 1, Int), (10**400, Float)])
    def test_a_number_that_does_not_fit_is_the_rows_error(self, value, column_type):
        """Integers of any size are JSON, but not every size is stored."""
        with pytest.raises(CellError, match="keep it as text") as e:
            check_value(value, column_type)
        assert e.value.errortype == "OverflowError"

    @pytest.mark.parametrize("value", [{"x": math.nan}, {"x": b"bytes"}, {"x": datetime.timedelta(1)}])
    def test_json_that_cannot_be_stored_is_the_rows_error(self, value):
        """What would fail the writing of all rows fails its own."""
        with pytest.raises(CellError, match="got a value that JSON cannot hold"):
            check_value(value, Json)


@pytest.mark.parametrize("media", [Image, Audio])
def test_media_are_stored_as_hugging_face_does(media):
    """`struct<bytes, path>` is what `datasets` reads as Image and Audio."""
    assert media.arrow() == pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    ("column_type", "name"),
    [
        (String, "String"),
        (Array[(3,), "float32"], "Array[(3,), float32]"),
        (Array, "Array[(None,), float32]"),
    ],
)
def test_types_are_named_as_they_are_written(column_type, name):
    """Messages name a type in the user's notation."""
    assert type_name(column_type) == name


def test_the_ui_shows_json_by_its_name():
    """An extension type's own text says little."""
    schema = pa.schema([("id", pa.int64()), ("r", Json.arrow())])
    assert schema_entries(schema) == [("id", "int64"), ("r", "json")]


def test_the_ui_shows_results_of_the_image_functions_by_a_name():
    """Their type leaves no room for descriptions; any other is shown whole, so that a check sees that it changed."""
    images = ImageData.arrow()
    more = pa.struct([*images, pa.field("x", pa.int64())])
    assert schema_entries(pa.schema([("i", images), ("m", more)])) == [("i", "images"), ("m", str(more))]
    assert "bytes: binary" in str(more)


def test_a_plain_type_leaves_the_length_open():
    """Cells of files with and without a fixed length have one type in common."""
    assert variable_length_type(pa.list_(pa.float32(), 3)) == pa.list_(pa.float32())
    assert variable_length_type(pa.int64()) == pa.int64()
