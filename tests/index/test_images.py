"""An index over images."""

import io

import numpy as np
import PIL.Image
import pytest

from pxt_assets import Table, udf
from pxt_assets.errors import SearchError
from pxt_assets.values.types import Array, Image
from tests.index.shop import Shop
from tests.runs import rows_asset


class TestImages:
    """An index over images is searched by images, and by texts where a function embeds these into the same space."""

    @pytest.fixture
    def pics(self, shop: Shop) -> Table:
        shop.source = rows_asset(
            {"id": [1, 2], "image": [picture(color="red"), picture(color="blue")]}, name="pics"
        )
        return Table(shop.source, key="id", schema={"image": Image})

    def test_by_image(self, shop: Shop, pics: Table, tmp_path):
        """As a PIL image, as bytes, or by its path."""
        pics.add_embedding_index(pics.image, embedding=colours, metric="l2")
        shop.run(pics)
        (tmp_path / "blue.png").write_bytes(picture(color="blue"))
        for query in (PIL.Image.new("RGB", (9, 9), "blue"), picture(color="blue"), tmp_path / "blue.png"):
            assert pics.image.similarity(query, k=1, indexes=shop.indexes)["id"].to_pylist() == [2]

    def test_by_text_of_the_same_space(self, shop: Shop, pics: Table):
        """`string_embed` embeds the texts that are searched for."""
        pics.add_embedding_index(pics.image, image_embed=colours, string_embed=named_colours)
        shop.run(pics)
        assert pics.image.similarity("red", k=1, indexes=shop.indexes)["id"].to_pylist() == [1]

    def test_a_query_that_no_function_embeds(self, shop: Shop, pics: Table):
        """The message names the option to give."""
        pics.add_embedding_index(pics.image, embedding=colours)
        shop.run(pics)
        with pytest.raises(
            SearchError, match="a query by text, but the index can be searched by image and vector alone"
        ):
            pics.image.similarity("red", indexes=shop.indexes)


def picture(color: str) -> bytes:
    """A PNG file."""
    target = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), color).save(target, "PNG")
    return target.getvalue()


@udf
def colours(image: PIL.Image.Image) -> Array[(3,), np.float32]:
    """An image's first pixel."""
    return np.array(image.convert("RGB").getpixel((0, 0)), np.float32)


@udf
def named_colours(name: str) -> Array[(3,), np.float32]:
    """A colour by its name."""
    return np.array(PIL.Image.new("RGB", (1, 1), name).getpixel((0, 0)), np.float32)
