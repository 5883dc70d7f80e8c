"""Pixeltable's documented examples run as they are written, but for their imports and where `tbl` comes from.

Source: https://github.com/pixeltable/pixeltable/blob/main/pixeltable/functions/openai.py
"""

from collections.abc import Callable
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import PIL.Image
import pytest

from pxt_assets import EmbeddingIndexes, Table
from pxt_assets.functions import (
    chat_completions,
    embeddings,
    image_edits,
    image_generations,
    image_variations,
    moderations,
    responses,
    speech,
    transcriptions,
    translations,
)
from pxt_assets.values.sniff import sniff_format
from pxt_assets.values.types import Audio, Image, String
from tests.conformance.samples import picture, recording
from tests.runs import materialize, rows_asset

TEXTS = ["What is a llama?", "Draw one."]
ROWS = {
    "prompt": TEXTS,
    "text": TEXTS,
    "input": TEXTS,
    "image": [picture(), picture("JPEG")],
    "source_image": [picture(), picture(size=(64, 64))],
    "mask_image": [picture(mode="RGBA"), picture(size=(64, 64), mode="RGBA")],
    "audio": [recording(), recording()],
}
MEDIA = {"image": Image, "source_image": Image, "mask_image": Image, "audio": Audio}

Values = Callable[[str], list[Any]]


@pytest.fixture
def without() -> str | None:
    """A column that `tbl` does not have, since the example computes one of that name."""
    return None


@pytest.fixture
def rows(without) -> dg.AssetsDefinition:
    return rows_asset({name: column for name, column in ROWS.items() if name != without}, name="tbl")


@pytest.fixture
def tbl(rows, without) -> Table:
    return Table(rows, schema={name: kind for name, kind in MEDIA.items() if name != without})


@pytest.fixture
def values(rows, tbl, store, simulated) -> Values:
    """What the cells of a column hold once they are computed, as pandas shows them."""

    def values(name: str) -> list[Any]:
        seen: list[Any] = []

        @dg.asset(ins={"column": dg.AssetIn(["tbl", name])})
        def look(column: pd.DataFrame) -> None:
            seen.extend(column[name])

        materialize([rows, *tbl.assets, look], store, simulated)
        assert len(seen) == len(TEXTS)
        return seen

    return values


def check_images(answers: list[Any], *, has_usage: bool) -> None:
    """The documented form: `{"created": 1234567890, "data": [PIL.Image.Image(...), ...], "usage": <optional>}`."""
    for answer in answers:
        assert answer.keys() == {"created", "data", "usage"}
        assert answer["created"] > 1_000_000_000
        assert [isinstance(image, PIL.Image.Image) for image in answer["data"]] == [True]
        assert (answer["usage"] is not None) is has_usage


def test_chat_completions(tbl, values):
    """The answer of each row's chat."""
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": tbl.prompt},
    ]
    tbl.add_computed_column(response=chat_completions(messages, model="gpt-4o-mini"))
    for response in values("response"):
        assert response["choices"][0]["message"]["content"]
        assert response["usage"]["prompt_tokens"] > 0


def test_chat_completions_with_images(tbl, values):
    """The answer of a chat about each row's image."""
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What's in this image?"},
                {"type": "image_url", "image_url": tbl.image},
            ],
        }
    ]
    tbl.add_computed_column(response=chat_completions(messages, model="gpt-4o-mini"))
    assert all(response["choices"][0]["message"]["content"] for response in values("response"))


def test_embeddings(tbl, values):
    """A vector for each row."""
    tbl.add_computed_column(embed=embeddings(tbl.text, model="text-embedding-3-small"))
    for vector in values("embed"):
        assert (vector.shape, vector.dtype) == ((1_536,), np.float32)


def test_an_embedding_index(rows, store, simulated, tmp_path):
    """An index over the table's text, which a search finds each row in."""
    tbl = Table(rows, schema={"text": String})
    tbl.add_embedding_index(
        embedding=embeddings.using(model="text-embedding-3-small"),
    )
    indexes = EmbeddingIndexes(base_path=str(tmp_path / "indexes"), openai=simulated)
    materialize([rows, *tbl.assets], store, simulated, resources={"indexes": indexes})
    for position, text in enumerate(TEXTS):
        found = tbl.text.similarity(text, k=1, indexes=indexes).to_pylist()
        assert found == [{"row": position, "score": pytest.approx(1.0, abs=1e-5)}]


def test_image_edits(tbl, values):
    """An image edited as a prompt says."""
    tbl.add_computed_column(
        edited=image_edits(
            tbl.source_image,
            prompt="Add a sunset background",
            model="gpt-image-2",
        )
    )
    check_images(values("edited"), has_usage=True)


def test_image_edits_with_a_mask(tbl, values):
    """An image edited where a mask says."""
    tbl.add_computed_column(
        edited=image_edits(
            tbl.source_image,
            mask=tbl.mask_image,
            prompt="Replace with a beach scene",
            model="gpt-image-2",
        )
    )
    check_images(values("edited"), has_usage=True)


def test_image_generations_by_dall_e_2(tbl, values):
    """An image of each row's text, by a model that states no usage."""
    tbl.add_computed_column(gen_image=image_generations(tbl.text, model="dall-e-2"))
    check_images(values("gen_image"), has_usage=False)


def test_image_generations_by_gpt_image_2(tbl, values):
    """An image of each row's text, by a model that states its usage."""
    tbl.add_computed_column(gen_image=image_generations(tbl.text, model="gpt-image-2"))
    check_images(values("gen_image"), has_usage=True)


def test_image_variations(tbl, values):
    """A variation of each row's image."""
    tbl.add_computed_column(variation=image_variations(tbl.source_image, model="dall-e-2"))
    check_images(values("variation"), has_usage=False)


def test_moderations(tbl, values):
    """What moderation finds in each row, though the column has the function's name."""
    tbl.add_computed_column(moderations=moderations(tbl.input))
    assert [answer["results"][0]["flagged"] for answer in values("moderations")] == [False, False]


def test_responses(tbl, values):
    """The answer to each row's prompt, its text at `output_text`."""
    messages = [{"role": "user", "content": tbl.prompt}]
    tbl.add_computed_column(
        response=responses(
            messages,
            model="gpt-4o-mini",
            model_kwargs={"instructions": "You are a helpful assistant."},
        )
    )
    for response in values("response"):
        assert response["output_text"]
        assert response["output_text"] == response["output"][0]["content"][0]["text"]
        assert response["instructions"] == "You are a helpful assistant."


def test_responses_with_images(tbl, values):
    """The answer about each row's image."""
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What's in this image?"},
                {"type": "input_image", "image_url": tbl.image},
            ],
        }
    ]
    tbl.add_computed_column(response=responses(messages, model="gpt-4o-mini"))
    assert all(response["output_text"] for response in values("response"))


@pytest.mark.parametrize("without", ["audio"])
def test_speech(tbl, values):
    """A recording of each row's text, mp3."""
    tbl.add_computed_column(audio=speech(tbl.text, model="tts-1", voice="nova"))
    for sound in values("audio"):
        assert sniff_format(sound["bytes"]) == "mp3"
        assert sound["path"].endswith(".mp3")


def test_transcriptions(tbl, values):
    """What is said in each row's recording."""
    tbl.add_computed_column(transcription=transcriptions(tbl.audio, model="whisper-1", language="en"))
    assert all(heard["text"] for heard in values("transcription"))


def test_translations(tbl, values):
    """What is said in each row's recording, in English: the language that the example gives is the only one."""
    tbl.add_computed_column(translation=translations(tbl.audio, model="whisper-1", language="en"))
    assert all(heard["text"] for heard in values("translation"))
