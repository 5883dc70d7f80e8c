import base64
import json

import numpy as np
import pytest

from pxt_assets.api.request import Usage, pack
from pxt_assets.errors import CellError
from pxt_assets.functions import embeddings
from pxt_assets.values.types import Array


def request(text="Hello", **arguments):
    return embeddings.cell_request({"input": text, "model": "m", **arguments})


def item(index, vector):
    return {"index": index, "embedding": vector}


def parse(data, cells):
    answer = {"data": data, "model": "m-1", "usage": {"prompt_tokens": 5}}
    return embeddings.endpoint.parse(json.dumps(answer).encode(), {"input": ["x"] * cells})


def packed(*numbers):
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


class TestBody:
    def test_text_and_other_arguments_are_sent(self):
        """`dimensions` may stand in `model_kwargs` or beside it."""
        assert request(dimensions=8).body == {"input": "Hello", "model": "m", "dimensions": 8}
        assert request(model_kwargs={"dimensions": 8}).body == request(dimensions=8).body

    @pytest.mark.parametrize("text", [3, ["a"], {"a": 1}, 0.5, True])
    def test_other_than_text_is_the_rows_error(self, text):
        """A number is not turned into text silently."""
        with pytest.raises(
            CellError, match=r"input: got .*allowed: text or null; convert the column to text"
        ):
            request(text)

    def test_empty_text_is_the_rows_error(self):
        """The API refuses it, and with it all texts in one request."""
        with pytest.raises(CellError, match="got an empty text, which the API refuses") as e:
            request("")
        assert e.value.errortype == "ValueError"

    def test_many_texts_travel_in_one_request(self):
        """As base64, in the order of the rows."""
        sent = pack([request("b"), request("a")])
        assert sent.body == {"input": ["b", "a"], "model": "m", "encoding_format": "base64"}
        assert embeddings.endpoint.max_cells == 2_048
        assert embeddings.endpoint.max_tokens <= 300_000

    def test_an_encoding_that_is_given_is_sent_and_names_no_cell(self):
        """`encoding_format` says how vectors are written, not what they are: stored cells are found with and without."""
        given = request(encoding_format="float")
        assert given.digest == request().digest
        assert pack([given, request("b", encoding_format="float")]).body["encoding_format"] == "float"
        assert given.pack_key != request().pack_key
        with pytest.raises(CellError, match="got str 'int8', allowed: 'float' or 'base64'"):
            request(encoding_format="int8")


class TestAnswer:
    def test_vectors_come_as_base64(self):
        """float32, bit for bit, in the order of the texts, whatever the order of the answer."""
        parsed = parse([item(1, packed(3, 4)), item(0, packed(0.1, -2))], 2)
        np.testing.assert_array_equal(parsed.values[0], np.array([0.1, -2], np.float32))
        np.testing.assert_array_equal(parsed.values[1], np.array([3, 4], np.float32))
        assert parsed.values[0].dtype == np.float32
        assert parsed.usage == Usage(5)
        assert parsed.model == "m-1"

    def test_vectors_may_come_as_lists(self):
        """Some servers know no base64."""
        (vector,) = parse([item(0, [0.5, 1])], 1).values
        np.testing.assert_array_equal(vector, np.array([0.5, 1], np.float32))

    @pytest.mark.parametrize(
        "data",
        [
            None,
            [],
            [item(0, packed(1))],
            [item(0, packed(1)), item(0, packed(1))],
            [item(0, packed(1)), item(2, packed(1))],
            [item(i, packed(1)) for i in range(3)],
            [item(1, packed(1)), item(None, packed(1)), item(None, packed(1))],
            [item("0", packed(1)), item("1", packed(1))],
            [item([0], packed(1)), item([1], packed(1))],
            [item(True, packed(1)), item(0, packed(1))],
        ],
    )
    def test_another_body_is_no_answer(self, data):
        """A vector too few, too many, twice, or of nobody knows whom is never taken for a row's."""
        with pytest.raises(ValueError, match=r"."):
            parse(data, 3 if data and len(data) == 3 and data[0]["index"] == 1 else 2)

    @pytest.mark.parametrize(
        "vector",
        [
            "AAA",
            base64.b64encode(b"12345").decode(),
            "%%%%",
            ["x"],
            [],
            None,
            [[1.0]],
            {"a": 1},
            7,
            [1.0, None],
            [float("nan"), 1.0],
            [1e300, 1.0],
            packed(1, float("inf")),
            packed(float("nan"), 1),
        ],
        ids=repr,
    )
    def test_what_is_no_vector_is_the_error_of_its_row(self, vector):
        """NaN, infinite numbers and nulls are in no vector; the others of the answer are kept."""
        good, bad = parse([item(0, packed(1, 2)), item(1, vector)], 2).values
        assert good.tolist() == [1, 2]
        assert isinstance(bad, CellError)
        with pytest.raises(CellError, match="/embeddings answered with something else than documented"):
            request().cell_value(bad)

    def test_a_vector_of_another_length_than_most_is_the_error_of_its_row(self):
        """If no length is that of most, nobody knows which are right, and the texts are asked for in parts."""
        *good, bad = parse([item(i, [1.0] * (3 if i == 4 else 2)) for i in range(5)], 5).values
        assert [len(vector) for vector in good] == [2] * 4
        assert "a vector of 3 numbers, and with 2 for most" in bad.message
        with pytest.raises(ValueError, match="different lengths: 2, 3"):
            parse([item(0, [1.0, 2.0]), item(1, [1.0, 2.0, 3.0])], 2)

    @pytest.mark.parametrize(
        "indexes",
        [[None, 1, 2], [None, None, None], [2, 1, None], [0, None, 2], [0, None, None]],
        ids=repr,
    )
    def test_vectors_without_an_index_go_by_position(self, indexes):
        """Some servers leave out `index` where it is 0, others always; one that is missing is the one left."""
        places = [2, 1, 0] if indexes[0] == 2 else [0, 1, 2]
        data = [
            {"embedding": [float(place)]} | ({} if index is None else {"index": index})
            for place, index in zip(places, indexes, strict=True)
        ]
        assert [vector[0] for vector in parse(data, 3).values] == [0, 1, 2]


def test_a_text_counts_by_four_characters():
    """The server counts characters."""
    assert request("x" * 4_000).tokens == pytest.approx(1_000, rel=0.01)


def test_the_result_is_a_vector():
    """An array column of whatever length the model gives, paced by headers."""
    assert embeddings.returns is Array
    assert embeddings.endpoint.sends_limits
