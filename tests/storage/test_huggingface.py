import json

import pyarrow as pa

from pxt_assets.storage.huggingface import add_huggingface_features
from pxt_assets.values.types import Audio, Image, ImageData, ImageList, Json, media_field


def features(*fields: pa.Field) -> dict[str, object]:
    return json.loads(add_huggingface_features(pa.schema(fields)).metadata[b"huggingface"])["info"][
        "features"
    ]


def test_images_and_sounds_are_named():
    """By the field's own word: their Arrow type is the same."""
    assert features(media_field("a", Image), media_field("b", Audio), pa.field("n", pa.int64())) == {
        "a": {"_type": "Image"},
        "b": {"_type": "Audio"},
    }


def test_images_inside_a_result_are_named():
    """At their place in it."""
    found = features(pa.field("drawn", ImageData.arrow()), pa.field("all", ImageList.arrow()))
    assert found["drawn"]["data"] == found["all"] == {"feature": {"_type": "Image"}, "_type": "List"}
    assert found["drawn"].keys() == {"created", "data", "usage"}


def test_a_struct_that_does_not_say_what_it_is_is_left_alone():
    """It may be anything of that form."""
    schema = pa.schema([("x", Image.arrow()), ("y", Json.arrow()), ("z", pa.binary())])
    assert add_huggingface_features(schema) is schema


def test_other_metadata_is_kept():
    """Of the schema, beside the note."""
    schema = add_huggingface_features(pa.schema([media_field("a", Image)], metadata={"mine": "x"}))
    assert schema.metadata[b"mine"] == b"x"
    assert schema.names == ["a"]
